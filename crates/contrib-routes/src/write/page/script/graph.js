// The graph that the page holds: flat arrays of nodes and edges, as in Rust.

const NODE = { residPost: 0, mlpBias: 1, mlp: 2, residMid: 3, attentionBias: 4, embedding: 5 };
const NODE_NAMES = ['resid_post', 'MLP bias', 'MLP', 'resid_mid', 'attention bias', 'embedding'];
const EDGE = { residual: 0, attention: 1, mlpInput: 2, mlpOutput: 3, bias: 4 };
const EDGE_NAMES = ['residual', 'attention', 'MLP reads', 'MLP', 'bias'];

class Graph {
  static #ARRAYS = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, f32: Float32Array, f64: Float64Array };
  // Where the nodes of a kind in a layer, which follow one another, begin and end.
  #levels = new Map();

  constructor(data) {
    Object.assign(this, data.facts);
    this.layer = Graph.#decode(data.nodes.layer);
    this.kind = Graph.#decode(data.nodes.kind);
    this.position = Graph.#decode(data.nodes.position);
    this.from = Graph.#decode(data.edges.from);
    this.edgeKind = Graph.#decode(data.edges.kind);
    this.head = Graph.#decode(data.edges.head);
    this.weight = Graph.#decode(data.edges.weight);
    this.nodes = this.kind.length;
    this.edges = this.from.length;
    const counts = Graph.#decode(data.nodes.edges);
    // The edges that end in node i are those from starts[i] to before starts[i + 1].
    this.starts = new Uint32Array(this.nodes + 1);
    for (let node = 0; node < this.nodes; node++) this.starts[node + 1] = this.starts[node] + counts[node];
    for (let node = 0; node < this.nodes; node++) {
      const key = Graph.#level(this.layer[node], this.kind[node]);
      const level = this.#levels.get(key);
      if (level) level[1] = node + 1;
      else this.#levels.set(key, [node, node + 1]);
    }
    // Routes can be taken out to each position whose last stream is there.
    const [first, end] = this.#nodesOf(this.nLayers - 1, NODE.residPost);
    this.possibleTargets = this.position.subarray(first, end);
    this.isParallel = !this.kind.includes(NODE.residMid) && this.edgeKind.includes(EDGE.residual);
  }

  // An array as it is in the page: its type, and its bytes in base64, the least significant first, as all browsers have them.
  static #decode([type, base64]) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return new Graph.#ARRAYS[type](bytes.buffer);
  }

  static #level(layer, kind) {
    return layer * NODE_NAMES.length + kind;
  }

  #nodesOf(layer, kind) {
    return this.#levels.get(Graph.#level(layer, kind)) ?? [0, 0];
  }

  // The number of a node, or -1.
  find(layer, kind, position) {
    let [low, high] = this.#nodesOf(layer, kind);
    const end = high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.position[middle] < position) low = middle + 1;
      else high = middle;
    }
    return low < end && this.position[low] === position ? low : -1;
  }
}
