// Light and dark: as the system has it, until the button says otherwise.

class Theme {
  static #COLOURS = ['ground', 'band', 'line', 'faint', 'pale', 'stream', 'attention', 'mlp', 'bias', 'chosen', 'focus'];
  #changed;

  constructor(changed) {
    const prefersDark = matchMedia('(prefers-color-scheme: dark)');
    byId('theme').addEventListener('click', () => this.#set(document.documentElement.dataset.theme !== 'dark'));
    prefersDark.addEventListener('change', () => this.#set(prefersDark.matches));
    this.#set(prefersDark.matches);
    this.#changed = changed;
  }

  #set(isDark) {
    document.documentElement.dataset.theme = isDark ? 'dark' : 'light';
    byId('theme').setAttribute('aria-pressed', isDark);
    // Canvases are drawn with the colours and the font of the style.
    const style = getComputedStyle(document.documentElement);
    this.colours = Object.fromEntries(Theme.#COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`)]));
    this.font = getComputedStyle(document.body).fontFamily;
    this.#changed?.();
  }
}
