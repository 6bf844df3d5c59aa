'use strict';

// The graph that the page holds, and what routes are taken out of it.

const NODE = { residPost: 0, mlpBias: 1, mlp: 2, residMid: 3, attentionBias: 4, embedding: 5 };
const NODE_NAMES = ['resid_post', 'MLP bias', 'MLP', 'resid_mid', 'attention bias', 'embedding'];
const EDGE = { residual: 0, attention: 1, mlpInput: 2, mlpOutput: 3, bias: 4 };
const EDGE_NAMES = ['residual', 'attention', 'MLP reads', 'MLP', 'bias'];
const ARRAYS = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, f32: Float32Array, f64: Float64Array };

// An array as it is in the page: its type, and its bytes in base64, the least significant first, as all browsers have them.
function decode([type, base64]) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new ARRAYS[type](bytes.buffer);
}

class Graph {
  constructor(data) {
    Object.assign(this, data.facts);
    this.layer = decode(data.nodes.layer);
    this.kind = decode(data.nodes.kind);
    this.position = decode(data.nodes.position);
    this.from = decode(data.edges.from);
    this.edgeKind = decode(data.edges.kind);
    this.head = decode(data.edges.head);
    this.weight = decode(data.edges.weight);
    this.nodes = this.kind.length;
    this.edges = this.from.length;
    const counts = decode(data.nodes.edges);
    // The edges that end in node i are those from starts[i] to before starts[i + 1].
    this.starts = new Uint32Array(this.nodes + 1);
    for (let node = 0; node < this.nodes; node++) this.starts[node + 1] = this.starts[node] + counts[node];
    // Nodes of a kind in a layer follow one another: where they begin and end.
    this.levels = new Map();
    for (let node = 0; node < this.nodes; node++) {
      const level = this.levels.get(this.level(node));
      if (level) level[1] = node + 1;
      else this.levels.set(this.level(node), [node, node + 1]);
    }
    // Routes can be taken out to each position whose last stream is there.
    const [first, end] = this.levels.get((this.nLayers - 1) * 8 + NODE.residPost) ?? [0, 0];
    this.possibleTargets = this.position.subarray(first, end);
    this.isParallel = !this.kind.includes(NODE.residMid) && this.edgeKind.includes(EDGE.residual);
  }

  level(node) {
    return this.layer[node] * 8 + this.kind[node];
  }

  // The number of a node, or -1.
  find(layer, kind, position) {
    let [low, high] = this.levels.get(layer * 8 + kind) ?? [0, 0];
    const end = high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.position[middle] < position) low = middle + 1;
      else high = middle;
    }
    return low < end && this.position[low] === position ? low : -1;
  }

  // The routes to some positions over edges above a threshold, without the heads that are left out (by layer, then head): what
  // Routes::routes_to finds. The whole of both edges of an MLP is resid_post, so all that arrives at an MLP goes on to what it reads.
  routesTo(targets, threshold, leftOut) {
    const flow = new Float64Array(this.nodes);
    const isReached = new Uint8Array(this.nodes);
    for (const target of targets) {
      const node = this.find(this.nLayers - 1, NODE.residPost, target);
      if (node < 0) continue;
      isReached[node] = 1;
      flow[node] = 1;
    }
    const edges = new Uint32Array(this.edges);
    const edgeFlow = new Float64Array(this.edges);
    let found = 0;
    let reached = 0;
    for (let node = 0; node < this.nodes; node++) {
      if (!isReached[node]) continue;
      reached++;
      const heads = this.layer[node] * this.nHeads;
      for (let edge = this.starts[node]; edge < this.starts[node + 1]; edge++) {
        const kind = this.edgeKind[edge];
        if (!(this.weight[edge] > threshold)) continue;
        if (kind === EDGE.attention && this.head[edge] < this.nHeads && leftOut[heads + this.head[edge]]) continue;
        const through = (kind === EDGE.mlpInput ? 1 : this.weight[edge]) * flow[node];
        isReached[this.from[edge]] = 1;
        flow[this.from[edge]] += through;
        edges[found] = edge;
        edgeFlow[edge] = through;
        found++;
      }
    }
    return new Routes(this, targets.length, flow, isReached, reached, edges.subarray(0, found), edgeFlow);
  }
}

class Routes {
  constructor(graph, targets, flow, isReached, reached, edges, edgeFlow) {
    Object.assign(this, { graph, targets, flow, isReached, reached, edges, edgeFlow });
    this.lines = [];
    this.headShares = new Float64Array(graph.nLayers * graph.nHeads);
    this.tokenShares = new Float64Array(graph.nPos);
    let to = 0;
    let line = null;
    for (let index = 0; index < edges.length; index++) {
      const edge = edges[index];
      while (edge >= graph.starts[to + 1]) to++;
      const [from, kind] = [graph.from[edge], graph.edgeKind[edge]];
      // The heads between the same two nodes are one line; they follow one another.
      if (!line || line.to !== to || line.from !== from || line.kind !== kind) {
        line = { to, from, kind, start: index, end: index, weight: 0, share: 0 };
        this.lines.push(line);
      }
      line.end = index + 1;
      line.weight += graph.weight[edge];
      line.share += this.share(edgeFlow[edge]);
      if (kind === EDGE.attention && graph.head[edge] < graph.nHeads) {
        this.headShares[graph.layer[to] * graph.nHeads + graph.head[edge]] += this.share(edgeFlow[edge]);
      }
    }
    for (let node = 0; node < graph.nodes; node++) {
      if (graph.kind[node] === NODE.embedding) this.tokenShares[graph.position[node]] = this.share(flow[node]);
    }
  }

  // Of the flow of all targets.
  share(flow) {
    return this.targets ? flow / this.targets : 0;
  }

  // How strong something is drawn: by its flow, where that of a target is 1. Of several targets, more may flow together.
  strength(share) {
    return Math.min(1, share * this.targets);
  }

  shareOf(node) {
    return this.share(this.flow[node]);
  }

  // The positions that have a node on the routes.
  positions() {
    const has = new Uint8Array(this.graph.nPos);
    for (let node = 0; node < this.graph.nodes; node++) if (this.isReached[node]) has[this.graph.position[node]] = 1;
    return has;
  }

  // The edges of a line: one for each head.
  edgesOf(line) {
    return this.edges.subarray(line.start, line.end);
  }

  linesTo(node) {
    return this.lines.filter((line) => line.to === node);
  }

  linesFrom(node) {
    return this.lines.filter((line) => line.from === node);
  }
}
