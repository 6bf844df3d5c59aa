// The pointer in the picture: shows what is under it, and chooses it.

class Pointer {
  #nearest;
  #overlay = byId('overlay');

  constructor(state, layout, texts, highlight, tooltip) {
    this.#nearest = new Nearest(layout);
    const overlay = this.#overlay;
    overlay.addEventListener('pointermove', (event) => {
      const found = this.#under(event);
      overlay.style.cursor = found ? 'pointer' : 'default';
      if (!found) return highlight.rest();
      const { node, line, stub } = found;
      highlight.show({ node, lines: line && [line], stubs: stub && [stub] });
      tooltip.show(texts.describe(state.routes, found), { right: event.clientX, top: event.clientY + 12 });
    });
    overlay.addEventListener('pointerleave', () => highlight.rest());
    overlay.addEventListener('click', (event) => {
      const { node, line, stub } = this.#under(event) ?? {};
      state.select(node ?? line?.from ?? stub?.node ?? -1);
    });
  }

  #under(event) {
    const box = this.#overlay.getBoundingClientRect();
    return this.#nearest.find(event.clientX - box.left, event.clientY - box.top);
  }
}
