// The routes to some targets: the edges among them, and the flow of the targets that passes them.

// More than 0, so that others can be divided by it.
const largest = (shares) => shares.reduce((most, share) => Math.max(most, share), 1e-9);

class Routes {
  // Below this strength, things are faint.
  static #LEAST_STRENGTH = 0.005;

  // The routes to some positions over edges above a threshold, without the heads that are left out (by layer, then head): what
  // Routes::routes_to finds. The whole of both edges of an MLP is resid_post, so all that arrives at an MLP goes on to what it
  // reads.
  constructor(graph, targets, threshold, leftOut) {
    Object.assign(this, { graph, targets: targets.length, reached: 0 });
    this.flow = new Float64Array(graph.nodes);
    this.isReached = new Uint8Array(graph.nodes);
    // Whether a position has a node on the routes.
    this.hasPosition = new Uint8Array(graph.nPos);
    for (const target of targets) {
      const node = graph.find(graph.nLayers - 1, NODE.residPost, target);
      if (node < 0) continue;
      this.isReached[node] = 1;
      this.flow[node] = 1;
    }
    const edges = new Uint32Array(graph.edges);
    let found = 0;
    // The lines of the picture: the heads between the same two nodes, which follow one another, are one.
    this.lines = [];
    // Those of attention, by the layer of their whole.
    this.attentionIn = Array.from({ length: graph.nLayers }, () => []);
    this.headShares = new Float64Array(graph.nLayers * graph.nHeads);
    this.tokenShares = new Float64Array(graph.nPos);
    for (let to = 0; to < graph.nodes; to++) {
      if (!this.isReached[to]) continue;
      this.reached++;
      this.hasPosition[graph.position[to]] = 1;
      if (graph.kind[to] === NODE.embedding) this.tokenShares[graph.position[to]] = this.shareOf(to);
      const heads = graph.layer[to] * graph.nHeads;
      let line = null;
      for (let edge = graph.starts[to]; edge < graph.starts[to + 1]; edge++) {
        const [from, kind, weight] = [graph.from[edge], graph.edgeKind[edge], graph.weight[edge]];
        const head = kind === EDGE.attention && graph.head[edge] < graph.nHeads ? heads + graph.head[edge] : -1;
        if (!(weight > threshold) || leftOut[head]) continue;
        const through = (kind === EDGE.mlpInput ? 1 : weight) * this.flow[to];
        this.isReached[from] = 1;
        this.flow[from] += through;
        if (!line || line.from !== from || line.kind !== kind) {
          line = { to, from, kind, start: found, end: found, weight: 0, share: 0 };
          this.lines.push(line);
          if (kind === EDGE.attention) this.attentionIn[graph.layer[to]].push(line);
        }
        edges[found++] = edge;
        line.end = found;
        line.weight += weight;
        line.share += this.#share(through);
        if (head >= 0) this.headShares[head] += this.#share(through);
      }
    }
    this.edges = edges.subarray(0, found);
  }

  // Of the flow of all targets.
  #share(flow) {
    return this.targets ? flow / this.targets : 0;
  }

  shareOf(node) {
    return this.#share(this.flow[node]);
  }

  // How strong something is drawn: by its flow, where that of a target is 1. Of several targets, more may flow together.
  strength(share) {
    return Math.min(1, share * this.targets);
  }

  isFaint(share) {
    return this.strength(share) < Routes.#LEAST_STRENGTH;
  }

  // The edges of a line: one for each head.
  edgesOf(line) {
    return this.edges.subarray(line.start, line.end);
  }

  // The heads of a line; none where heads are summed.
  headsOf(line) {
    const heads = Array.from(this.edgesOf(line), (edge) => this.graph.head[edge]);
    return heads.filter((head) => head < this.graph.nHeads);
  }

  linesTo(node) {
    return this.lines.filter((line) => line.to === node);
  }

  linesFrom(node) {
    return this.lines.filter((line) => line.from === node);
  }
}
