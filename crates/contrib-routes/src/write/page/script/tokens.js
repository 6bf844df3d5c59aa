// The row of tokens below the picture: a button for each column where there is room.

class Tokens {
  // How wide a token is, and how far apart slanted ones are.
  static #WIDTH = 62;
  static #APART = 17;
  #state;
  #layout;
  #texts;
  #row = byId('tokens');

  constructor(state, layout, texts) {
    this.#state = state;
    this.#layout = layout;
    this.#texts = texts;
    this.#row.addEventListener('click', (event) => {
      const position = event.target.closest('button')?.dataset.position;
      if (position !== undefined) this.#choose(Number(position));
    });
    this.#row.addEventListener('keydown', (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
      const from = event.target.closest('button');
      if (!step || !from) return;
      event.preventDefault();
      roam([...this.#row.children], from, step);
    });
  }

  // Decides how high the row is for so many columns, and with it how high the picture can be.
  makeRoom(columns) {
    this.#row.classList.toggle('slanted', columns * Tokens.#WIDTH > byId('stage').clientWidth - 80);
  }

  show() {
    const focused = this.#row.contains(document.activeElement) ? Number(document.activeElement.dataset.position) : null;
    const buttons = this.#labelled().map((column) => this.#button(column));
    const withTab = focused ?? this.#state.target;
    tabTo(buttons, buttons.find((each) => Number(each.dataset.position) === withTab) ?? buttons.at(-1));
    this.#row.replaceChildren(...buttons);
    if (focused !== null) buttons.find((each) => each.tabIndex === 0)?.focus();
  }

  // The columns that have room for their token: the strongest first, and the target always.
  #labelled() {
    const { columns, column: width } = this.#layout;
    const { routes, target } = this.#state;
    const all = columns.map((_, column) => column);
    const apart = Math.ceil(Tokens.#APART / width);
    if (apart <= 1) return all;
    const strength = (column) => (columns[column] === target ? 2 : routes.tokenShares[columns[column]]);
    const taken = new Uint8Array(columns.length);
    for (const column of [...all].sort((one, other) => strength(other) - strength(one) || one - other)) {
      const isFree = !taken.subarray(Math.max(0, column - apart + 1), column + apart).includes(1);
      if (isFree) taken[column] = 1;
    }
    return all.filter((column) => taken[column]);
  }

  #button(column) {
    const { graph, routes, target } = this.#state;
    const position = this.#layout.columns[column];
    const share = routes.tokenShares[position];
    const can = this.#state.isPossible(position) ? '' : ' (no routes were found to it)';
    const made = button('', {
      'data-position': position,
      'aria-label': `${graph.tokens[position] ?? ''}, position ${position}, ${percent(share)}${can}`,
      'aria-pressed': position === target,
    });
    made.append(this.#texts.shortToken(position));
    if (!routes.isFaint(share)) {
      made.className = 'reached';
      if (share >= 0.001) made.append(element('span', ` ${percent(share)}`));
    }
    made.style.left = `${this.#layout.x(position)}px`;
    if (!this.#row.classList.contains('slanted')) made.style.width = `${this.#layout.column - 2}px`;
    return made;
  }

  // Makes a token the target, or shows its embedding.
  #choose(position) {
    if (this.#state.isPossible(position)) this.#state.setTarget(position);
    else this.#state.selectToken(position);
  }
}
