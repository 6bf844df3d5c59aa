// What is shown of the graph, as a person chose it.

class State {
  // The most positions of the first view.
  static #MOST_POSITIONS = 2000;
  // With more positions than these, only those on routes are shown at first, and the whole prompt below.
  static #FEW_POSITIONS = 40;
  #leftOut;
  #possible;
  #changed;

  // Calls one of `changed` after a change: `routes` of what the routes are, `window` of what is shown of them, `node` of the node
  // in the details.
  constructor(graph, changed) {
    this.graph = graph;
    this.#changed = changed;
    this.#leftOut = new Uint8Array(graph.nLayers * graph.nHeads);
    this.#possible = new Set(graph.possibleTargets);
    this.leastThreshold = State.#leastThreshold(graph);
    this.threshold = this.leastThreshold;
    this.lastTarget = graph.targets.at(-1) ?? graph.nPos - 1;
    this.target = this.lastTarget; // or null: all
    this.layers = [0, graph.nLayers - 1];
    const end = Math.max(State.#MOST_POSITIONS, this.lastTarget + 1);
    this.tokens = [end - State.#MOST_POSITIONS, Math.min(end, graph.nPos) - 1];
    this.isLong = graph.nPos > State.#FEW_POSITIONS;
    this.onlyReached = this.isLong;
    this.node = -1; // in the details
    this.#findRoutes();
  }

  // The routes' own. Of routes found at 0, a number of three digits just below their least weight, which leaves no edge out either:
  // rounding adds less than is taken off.
  static #leastThreshold(graph) {
    if (graph.threshold > 0 || graph.edges === 0) return graph.threshold;
    const leastWeight = graph.weight.reduce((least, weight) => Math.min(least, weight));
    return Number((0.995 * leastWeight).toPrecision(3));
  }

  #findRoutes() {
    const targets = this.target === null ? this.graph.possibleTargets : [this.target];
    this.routes = new Routes(this.graph, targets, this.threshold, this.#leftOut);
    if (this.node >= 0 && !this.routes.isReached[this.node]) this.node = -1;
  }

  #newRoutes() {
    this.#findRoutes();
    this.#changed.routes();
  }

  setThreshold(threshold) {
    this.threshold = Math.max(this.leastThreshold, Math.min(1, threshold || 0));
    this.#newRoutes();
  }

  // A position, or null for all.
  setTarget(target) {
    this.target = target;
    this.#newRoutes();
  }

  isPossible(target) {
    return this.#possible.has(target);
  }

  isLeftOut(layer, head) {
    return this.#leftOut[layer * this.graph.nHeads + head] === 1;
  }

  // A head, or, where that is undefined, all of a layer: back in where all are left out.
  leaveOutOrIn(layer, head) {
    const first = layer * this.graph.nHeads;
    const of = this.#leftOut.subarray(first, first + this.graph.nHeads);
    if (head === undefined) of.fill(of.includes(0) ? 1 : 0);
    else of[head] ^= 1;
    this.#newRoutes();
  }

  leaveAllOut(isOut) {
    this.#leftOut.fill(isOut ? 1 : 0);
    this.#newRoutes();
  }

  // Shows some `layers` or `tokens`; what is beyond all there are is brought in.
  setRange(name, first, last) {
    const end = name === 'layers' ? this.graph.nLayers - 1 : this.graph.nPos - 1;
    first = Math.min(end, Math.max(0, Math.round(first) || 0));
    this[name] = [first, Math.min(end, Math.max(first, Math.round(last) || 0))];
    this.#changed.window();
  }

  setOnlyReached(onlyReached) {
    this.onlyReached = onlyReached;
    this.#changed.window();
  }

  // A node, or -1.
  select(node) {
    this.node = node;
    this.#changed.node();
  }

  selectToken(position) {
    const node = this.graph.find(0, NODE.embedding, position);
    this.select(node >= 0 && this.routes.isReached[node] ? node : -1);
  }

  // The positions that have a column.
  columns() {
    const [first, last] = this.tokens;
    const all = Array.from({ length: last - first + 1 }, (_, i) => first + i);
    return this.onlyReached ? all.filter((position) => this.routes.hasPosition[position] || position === this.target) : all;
  }
}
