// Where things are in the picture, in CSS pixels: a column for each token, a step up for each layer. The lower half of a step is
// attention, the upper half the MLP.

class Layout {
  static #MARGIN = { left: 58, right: 22, top: 62, bottom: 8 };
  static #WIDEST_COLUMN = 96;
  static #HIGHEST_STEP = 34;
  // How far above the stream before its layer a node of each kind is, in steps, and on which side of the stream.
  static #UP = [1, 3 / 4, 3 / 4, 1 / 2, 1 / 4, 0];
  static #SIDE = [0, 1, -1, 0, 1, 0];
  #columnOf;
  #xs;
  #ys;
  #shown;

  constructor(graph) {
    this.graph = graph;
    this.#columnOf = new Int32Array(graph.nPos);
    this.#xs = new Float32Array(graph.nodes);
    this.#ys = new Float32Array(graph.nodes);
    this.#shown = new Uint8Array(graph.nodes);
  }

  // Places the nodes of some columns' positions, and of layers from `first` to `last`, in a picture of this size.
  place(routes, columns, [first, last], width, height) {
    const margin = Layout.#MARGIN;
    Object.assign(this, { routes, columns, first, last });
    this.#columnOf.fill(-1);
    columns.forEach((position, column) => (this.#columnOf[position] = column));
    const room = width - margin.left - margin.right;
    this.column = Math.min(Layout.#WIDEST_COLUMN, room / Math.max(1, columns.length));
    this.left = margin.left + (room - this.column * columns.length) / 2;
    this.right = this.left + this.column * columns.length;
    this.step = Math.min(Layout.#HIGHEST_STEP, (height - margin.top - margin.bottom) / (last - first + 1));
    this.bottom = height - margin.bottom;
    this.scale = Math.min(1, Math.max(0.2, this.column / 40), this.step / 13);
    this.stubLength = Math.min(24, Math.max(8, this.column * 0.3));
    for (let node = 0; node < this.graph.nodes; node++) this.#placeNode(node);
    this.#findLines();
  }

  #placeNode(node) {
    const [layer, kind, position] = [this.graph.layer[node], this.graph.kind[node], this.graph.position[node]];
    const isBelow = layer === this.first - 1 && kind === NODE.residPost;
    this.#shown[node] = this.hasColumn(position) && (isBelow || (layer >= this.first && layer <= this.last));
    if (!this.#shown[node]) return;
    this.#xs[node] = this.x(position) + Layout.#SIDE[kind] * Math.min(11, this.column / 3);
    this.#ys[node] = this.yBefore(layer) - Layout.#UP[kind] * this.step;
  }

  // Of attention's lines in the layers shown: `lines` in the picture; `stubs`, one for each node and side (-1 or 1), for the lines
  // with one end beside the columns, which are `leaving`; and how many are `outside` with both ends.
  #findLines() {
    const { position } = this.graph;
    const stubs = new Map();
    Object.assign(this, { lines: [], leaving: 0, outside: 0 });
    for (const line of this.routes.attentionIn.slice(this.first, this.last + 1).flat()) {
      const [hasFrom, hasTo] = [this.isShown(line.from), this.isShown(line.to)];
      if (hasFrom && hasTo) {
        this.lines.push(line);
      } else if (hasFrom || hasTo) {
        const [node, other] = hasTo ? [line.to, line.from] : [line.from, line.to];
        const side = Math.sign(position[other] - position[node]);
        const stub = stubs.get(side * (node + 1)) ?? { node, side, count: 0, share: 0 };
        stubs.set(side * (node + 1), stub);
        stub.count++;
        stub.share += line.share;
        this.leaving++;
      } else {
        this.outside++;
      }
    }
    this.stubs = [...stubs.values()];
  }

  // Calls `draw` with each position's stream, half a layer at a time: what its residual edge and its MLP, which reads it, bring.
  eachStream(draw) {
    const half = this.graph.isParallel ? this.step : this.step / 2;
    let [node, share] = [-1, 0];
    const drawLast = () => {
      if (node >= 0 && this.#ys[node] < this.bottom) draw(this.#xs[node], this.#ys[node] + half, this.#ys[node], share);
    };
    // The lines to a node follow one another.
    for (const line of this.routes.lines) {
      const isStream = line.kind === EDGE.residual || line.kind === EDGE.mlpOutput;
      if (!isStream || !this.isShown(line.to)) continue;
      if (line.to !== node) {
        drawLast();
        [node, share] = [line.to, 0];
      }
      share += line.share;
    }
    drawLast();
  }

  hasColumn(position) {
    return this.#columnOf[position] >= 0;
  }

  columnOf(position) {
    return this.#columnOf[position];
  }

  x(position) {
    return this.left + this.column * (this.#columnOf[position] + 0.5);
  }

  // Of the stream before a layer.
  yBefore(layer) {
    return this.bottom - this.step * (layer - this.first);
  }

  isShown(node) {
    return this.#shown[node] === 1;
  }

  hasLine({ from, to }) {
    return this.isShown(from) && this.isShown(to);
  }

  at(node) {
    return [this.#xs[node], this.#ys[node]];
  }

  // Where a line begins and ends.
  ends({ from, to }) {
    return [this.#xs[from], this.#ys[from], this.#xs[to], this.#ys[to]];
  }

  stubEnds({ node, side }) {
    const [x, y] = this.at(node);
    return [x, y, x + side * this.stubLength, y];
  }

  // How far the curve of a line from a column to itself bends.
  get bow() {
    return Math.min(14, this.column / 3);
  }

  // The nodes on the routes in a column, from the bottom up.
  nodesAt(column) {
    const nodes = [];
    for (let node = 0; node < this.graph.nodes; node++) {
      if (this.graph.position[node] === this.columns[column] && this.routes.isReached[node] && this.isShown(node)) nodes.push(node);
    }
    return nodes.sort((one, other) => this.#ys[other] - this.#ys[one] || other - one);
  }
}
