// What is at a point of the picture.

class Nearest {
  // As far away, in pixels, it still counts.
  static #NEAR = 7;
  #layout;

  constructor(layout) {
    this.#layout = layout;
  }

  // A node, else a line or a stub: { node }, { line }, { stub } or null.
  find(x, y) {
    const { first, bottom, step } = this.#layout;
    const layer = first + Math.floor((bottom - y) / step);
    return this.#node(x, y, layer) ?? this.#line(x, y, layer);
  }

  #node(x, y, layer) {
    const { graph, routes, columns, left, column: width } = this.#layout;
    const column = Math.floor((x - left) / width);
    let [best, distance] = [null, Nearest.#NEAR];
    for (const position of columns.slice(Math.max(0, column - 1), column + 2)) {
      for (const near of [layer - 1, layer, layer + 1]) {
        for (const kind of Object.values(NODE)) {
          const node = graph.find(near, kind, position);
          if (node < 0 || !routes.isReached[node] || !this.#layout.isShown(node)) continue;
          const [atX, atY] = this.#layout.at(node);
          const apart = Math.hypot(atX - x, atY - y);
          if (apart < distance) [best, distance] = [{ node }, apart];
        }
      }
    }
    return best;
  }

  #line(x, y, layer) {
    const { routes, stubs, scale } = this.#layout;
    let [best, distance] = [null, Nearest.#NEAR];
    const consider = (found, apart, share) => {
      const beside = apart - (widthOf(routes.strength(share)) * scale) / 2;
      if (beside < distance) [best, distance] = [found, beside];
    };
    for (const line of routes.attentionIn[layer] ?? []) {
      if (this.#layout.hasLine(line)) consider({ line }, Math.abs(this.#yOn(line, x) - y), line.share);
    }
    for (const stub of stubs) {
      const [x1, y1, x2] = this.#layout.stubEnds(stub);
      if ((x - x1) * (x - x2) < 0) consider({ stub }, Math.abs(y1 - y), stub.share);
    }
    return best;
  }

  // How high a line is at x; NaN beside it.
  #yOn(line, x) {
    const [x1, y1, x2, y2] = this.#layout.ends(line);
    if (x1 === x2) return x > x1 && x < x1 + this.#layout.bow ? (y1 + y2) / 2 : NaN;
    if ((x - x1) * (x - x2) > 0) return NaN;
    let [low, high] = [0, 1];
    const xAt = (t) => x1 * (1 - t) ** 3 + ((x1 + x2) / 2) * 3 * t * (1 - t) + x2 * t ** 3;
    for (let i = 0; i < 12; i++) {
      const middle = (low + high) / 2;
      if (xAt(middle) < x === x1 < x2) low = middle;
      else high = middle;
    }
    return y1 + (y2 - y1) * (3 * low ** 2 - 2 * low ** 3);
  }
}
