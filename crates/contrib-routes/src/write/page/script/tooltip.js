// The tooltip: a text beside what the pointer or the focus is on.

class Tooltip {
  #box = byId('tooltip');

  hide() {
    this.#box.hidden = true;
  }

  show(parts, { right, top }) {
    const box = this.#box;
    box.replaceChildren(...parts);
    box.hidden = false;
    const left = right + 12 + box.offsetWidth > window.innerWidth ? right - box.offsetWidth - 24 : right + 12;
    box.style.left = `${Math.max(4, left)}px`;
    box.style.top = `${Math.max(4, Math.min(top, window.innerHeight - box.offsetHeight - 8))}px`;
  }
}
