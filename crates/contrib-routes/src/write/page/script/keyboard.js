// Keys in the picture: from node to node, and how many layers are shown.

class Keyboard {
  #state;
  #layout;

  constructor(state, layout, texts, tooltip) {
    this.#state = state;
    this.#layout = layout;
    const overlay = byId('overlay');
    overlay.addEventListener('keydown', (event) => {
      if (!this.#press(event.key)) return;
      event.preventDefault();
      if (state.node < 0 || !layout.isShown(state.node)) return;
      const [[x, y], box] = [layout.at(state.node), overlay.getBoundingClientRect()];
      tooltip.show(texts.describe(state.routes, { node: state.node }), { right: box.left + x, top: box.top + y + 8 });
    });
  }

  // Whether a key does something.
  #press(key) {
    if (key === '+') this.#zoomLayers(0.5);
    else if (key === '-') this.#zoomLayers(2);
    else if (key === 'Escape') this.#state.select(-1);
    else if (['ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight', 'Enter'].includes(key)) this.#state.select(this.#next(key));
    else return false;
    return true;
  }

  // Around the chosen node, or around the middle.
  #zoomLayers(factor) {
    const [first, last] = this.#state.layers;
    const middle = this.#state.node >= 0 ? this.#state.graph.layer[this.#state.node] : (first + last) / 2;
    const half = ((last - first) * factor) / 2 + (factor > 1 ? 1 : 0);
    this.#state.setRange('layers', Math.ceil(middle - half), Math.floor(middle + half));
  }

  // The node to which a key leads.
  #next(key) {
    const { graph, node } = this.#state;
    if (node < 0 || !this.#layout.isShown(node)) return this.#top();
    const column = this.#layout.columnOf(graph.position[node]);
    if (key === 'Enter') return this.#largestPart();
    if (key === 'ArrowLeft' || key === 'ArrowRight') return this.#beside(column, key === 'ArrowLeft' ? -1 : 1);
    const nodes = this.#layout.nodesAt(column);
    return nodes[nodes.indexOf(node) + (key === 'ArrowUp' ? 1 : -1)] ?? node;
  }

  // The highest node of the target; none where it has no column.
  #top() {
    const target = this.#state.target ?? this.#state.lastTarget;
    return this.#layout.nodesAt(this.#layout.columnOf(target)).at(-1) ?? -1;
  }

  #largestPart() {
    const { routes, node } = this.#state;
    const lines = routes.linesTo(node).filter((line) => this.#layout.isShown(line.from));
    return lines.sort((one, other) => other.weight - one.weight)[0]?.from ?? node;
  }

  // The node as high as the chosen one in the next column that has any.
  #beside(column, step) {
    const [, y] = this.#layout.at(this.#state.node);
    const apart = (node) => Math.abs(this.#layout.at(node)[1] - y);
    for (let next = column + step; this.#layout.columns[next] !== undefined; next += step) {
      const nodes = this.#layout.nodesAt(next);
      if (nodes.length) return nodes.reduce((best, node) => (apart(node) < apart(best) ? node : best));
    }
    return this.#state.node;
  }
}
