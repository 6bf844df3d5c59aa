// The side panel's lists: what the chosen node is made of and part of, or where the whole prediction came from.

class Details {
  // The most that a list, and that of tokens, has.
  static #MOST = 40;
  static #MOST_TOKENS = 10;
  #state;
  #texts;
  #panel = byId('details');

  constructor(state, texts) {
    this.#state = state;
    this.#texts = texts;
  }

  show() {
    this.#panel.replaceChildren(...(this.#state.node < 0 ? this.#summary() : this.#ofNode(this.#state.node)));
  }

  #ofNode(node) {
    const { graph, routes } = this.#state;
    const name = element('h2', '');
    name.append(this.#texts.token(graph.position[node]), element('small', ` ${this.#texts.node(node)}`));
    const facts = element('p', `position ${graph.position[node]}, ${percent(routes.shareOf(node))} of the flow`);
    const parts = this.#edges(routes.linesTo(node), 'from');
    const wholes = this.#edges(routes.linesFrom(node), 'to');
    const back = button('Summary');
    back.addEventListener('click', () => this.#state.select(-1));
    return [
      name,
      facts,
      ...this.#list(parts.length ? 'Made of' : 'Made of nothing above the threshold', parts),
      ...(wholes.length ? this.#list('Part of', wholes, 'attention') : []),
      back,
    ];
  }

  #summary() {
    const { graph, routes, target } = this.#state;
    const next = graph.nextTokens.map(([token, probability]) => ({
      parts: [element('bdi', token)],
      value: percent(probability),
      share: probability,
      onClick: () => this.#state.select(graph.find(graph.nLayers - 1, NODE.residPost, graph.nPos - 1)),
    }));
    const tokens = Array.from(routes.tokenShares, (share, position) => ({ share, position }))
      .filter(({ share }) => share > 0)
      .sort((one, other) => other.share - one.share)
      .slice(0, Details.#MOST_TOKENS)
      .map(({ share, position }) => ({
        parts: [this.#texts.token(position), element('span', position, { class: 'pale' })],
        value: percent(share),
        share,
        onClick: () => this.#state.selectToken(position),
      }));
    return [
      ...(next.length && target === graph.nPos - 1 ? this.#list('The model predicts', next, 'bias') : []),
      ...this.#list('The flow comes from', tokens),
    ];
  }

  // The edges of lines, one for each head, and the node at one of their ends.
  #edges(lines, end) {
    const { graph, routes } = this.#state;
    const edges = lines.flatMap((line) => Array.from(routes.edgesOf(line), (edge) => [edge, line[end]]));
    edges.sort(([one], [other]) => graph.weight[other] - graph.weight[one]);
    return edges.map(([edge, node]) => ({
      parts: [
        this.#texts.token(graph.position[node]),
        element('span', `${this.#texts.edge(edge)}, ${this.#texts.node(node)}`, { class: 'pale' }),
      ],
      value: graph.weight[edge].toFixed(3),
      share: graph.weight[edge],
      onClick: () => this.#state.select(node),
    }));
  }

  // A list of things with strengths, each a button.
  #list(title, items, colour = 'stream') {
    const list = element('ol', '');
    list.style.setProperty('--colour', `var(--${colour})`);
    for (const { parts, value, share, onClick } of items.slice(0, Details.#MOST)) {
      const [made, name, li] = [button(''), element('span', ''), element('li', '')];
      name.append(...parts);
      made.append(name, element('span', value));
      made.style.setProperty('--share', Math.min(1, share));
      made.addEventListener('click', onClick);
      li.append(made);
      list.append(li);
    }
    if (items.length > Details.#MOST) list.append(element('li', `and ${items.length - Details.#MOST} more`, { class: 'pale' }));
    return [element('h2', title), list];
  }
}
