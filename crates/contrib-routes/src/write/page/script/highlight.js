// What is drawn over the picture: the chosen node, and what the pointer or the focus is on.

class Highlight {
  #state;
  #layout;
  #theme;
  #tooltip;
  #canvas = byId('overlay');

  constructor(state, layout, theme, tooltip) {
    this.#state = state;
    this.#layout = layout;
    this.#theme = theme;
    this.#tooltip = tooltip;
  }

  // The chosen node and what attention brings to it, and no tooltip.
  rest() {
    const { node, routes } = this.#state;
    this.#tooltip.hide();
    this.show({ node, lines: node < 0 ? [] : routes.linesTo(node).filter((line) => line.kind === EDGE.attention) });
  }

  // A node (-1 is none), lines and stubs.
  show({ node = -1, lines = [], stubs = [] }) {
    const context = clear(this.#canvas);
    const { routes, scale, bow } = this.#layout;
    const stroke = (share, trace, ends) => {
      context.lineWidth = Math.max(1.5, widthOf(routes.strength(share)) * scale);
      context.beginPath();
      trace(context, ...ends);
      context.stroke();
    };
    context.strokeStyle = this.#theme.colours.focus;
    for (const line of lines) if (this.#layout.hasLine(line)) stroke(line.share, curve(bow), this.#layout.ends(line));
    for (const stub of stubs) stroke(stub.share, straight, this.#layout.stubEnds(stub));
    if (node < 0 || !this.#layout.isShown(node)) return;
    const [x, y] = this.#layout.at(node);
    context.lineWidth = 2.5;
    context.beginPath();
    context.arc(x, y, 6.5, 0, 2 * Math.PI);
    context.stroke();
  }
}
