// What tokens, nodes and edges are called.

const count = (number, one) => `${number.toLocaleString('en')} ${one}${number === 1 ? '' : 's'}`;

function percent(share) {
  if (share > 0 && share < 0.001) return '< 0.1 %';
  return `${(100 * share).toFixed(share >= 0.0995 ? 0 : 1)} %`;
}

class Texts {
  #graph;

  constructor(graph) {
    this.#graph = graph;
  }

  // A text of its own direction, without the space before it.
  short(text) {
    return element('bdi', text.replace(/^␣(?=.)/u, ''));
  }

  token(position) {
    const text = this.#graph.tokens[position] ?? `${position}`;
    return element('bdi', text, text.length > 60 ? { class: 'long' } : {});
  }

  shortToken(position) {
    return this.short(this.#graph.tokens[position] ?? `${position}`);
  }

  node(node) {
    const [layer, kind] = [this.#graph.layer[node], this.#graph.kind[node]];
    return kind === NODE.embedding ? 'embedding' : `${NODE_NAMES[kind]}, layer ${layer}`;
  }

  edge(edge) {
    const head = this.#graph.head[edge];
    return head < this.#graph.nHeads ? `h${head}` : EDGE_NAMES[this.#graph.edgeKind[edge]];
  }

  // What a node, a line or a stub is, to be shown beside it.
  describe(routes, { node, line, stub }) {
    const graph = this.#graph;
    const flow = (share) => `${percent(share)} of the flow`;
    if (stub) {
      const where = stub.side < 0 ? 'before' : 'after';
      const lines = ` ${count(stub.count, 'line')} to tokens ${where} those shown`;
      return [this.token(graph.position[stub.node]), `${lines}, ${flow(stub.share)}`];
    }
    if (line) {
      const weights = Array.from(routes.edgesOf(line), (edge) => `${this.edge(edge)} ${graph.weight[edge].toFixed(3)}`);
      const [from, to] = [this.token(graph.position[line.from]), this.token(graph.position[line.to])];
      return [`attention, layer ${graph.layer[line.to]}: `, from, ' → ', to, `: ${weights.join(', ')}; ${flow(line.share)}`];
    }
    const position = graph.position[node];
    return [this.token(position), ` position ${position}, ${this.node(node)}: ${flow(routes.shareOf(node))}`];
  }
}
