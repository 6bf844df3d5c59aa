// The texts in the picture: layers, heads beside their lines, and how many lines a stub stands for. None is over another.

class Labels {
  static #MOST = 300;
  #layout;
  #theme;
  #taken;

  constructor(layout, theme) {
    this.#layout = layout;
    this.#theme = theme;
  }

  draw(context) {
    this.#drawLayers(context);
    const { column, step } = this.#layout;
    this.#taken = [];
    context.font = `10px ${this.#theme.font}`;
    context.fillStyle = this.#theme.colours.attention;
    context.textAlign = 'center';
    context.textBaseline = 'bottom';
    if (column < 44 || step < 11) return;
    this.#drawStubs(context);
    this.#drawHeads(context);
  }

  #drawLayers(context) {
    const { first, last, left, step } = this.#layout;
    context.font = `11px ${this.#theme.font}`;
    context.fillStyle = this.#theme.colours.pale;
    context.textAlign = 'right';
    context.textBaseline = 'middle';
    const every = Math.ceil(13 / step);
    for (let layer = first; layer <= last; layer += every) {
      const text = layer === first ? `layer ${layer}` : layer;
      context.fillText(text, left - 8, this.#layout.yBefore(layer) - step / 2);
    }
  }

  // Beyond their ends.
  #drawStubs(context) {
    for (const stub of this.#strongest(this.#layout.stubs)) {
      const [, , x, y] = this.#layout.stubEnds(stub);
      const text = stub.side < 0 ? `‹ ${stub.count}` : `${stub.count} ›`;
      this.#write(context, text, [x + stub.side * (4 + context.measureText(text).width / 2)], y + 6);
    }
  }

  // Above their lines, where they arrive or where they begin.
  #drawHeads(context) {
    const { routes, column } = this.#layout;
    for (const line of this.#strongest(this.#layout.lines)) {
      const heads = routes.headsOf(line);
      if (!heads.length) continue;
      let text = heads.map((head) => `h${head}`).join(' ');
      if (context.measureText(text).width > column - 30) text = `${heads.length} heads`;
      const [x1, , x2, y] = this.#layout.ends(line);
      if (x1 === x2) this.#write(context, text, [x2 + 16 + context.measureText(text).width / 2], y + 11);
      else this.#write(context, text, [x2 - column / 2, x1 + column / 2], y - widthOf(routes.strength(line.share)) / 2);
    }
  }

  // Lines or stubs that are not faint, the strongest first.
  #strongest(things) {
    const kept = things.filter(({ share }) => !this.#layout.routes.isFaint(share));
    return kept.sort((one, other) => other.share - one.share).slice(0, Labels.#MOST);
  }

  // A text at the first of some places that is free.
  #write(context, text, middles, bottom) {
    const half = context.measureText(text).width / 2;
    for (const middle of middles) {
      const [left, top, right] = [middle - half, bottom - 10, middle + half];
      const meets = (other) => left < other.right && other.left < right && top < other.bottom && other.top < bottom;
      if (this.#taken.some(meets)) continue;
      this.#taken.push({ left, top, right, bottom });
      context.fillText(text, middle, bottom);
      return;
    }
  }
}
