// The grid of heads in the side panel: a row for each layer, the last on top.

class Heads {
  #state;
  #highlight;
  #tooltip;
  #grid = byId('heads');
  #buttons = [];

  constructor(state, highlight, tooltip) {
    this.#state = state;
    this.#highlight = highlight;
    this.#tooltip = tooltip;
    const hasHeads = state.graph.heads === 'each';
    byId('heads-section').hidden = !hasHeads;
    if (!hasHeads) return;
    this.#build();
    this.#connect();
  }

  show() {
    const { routes } = this.#state;
    const most = largest(routes.headShares);
    for (const each of this.#buttons) {
      const { layer, head } = Heads.#of(each);
      if (head === undefined) continue;
      const share = this.#share(layer, head);
      each.setAttribute('aria-pressed', !this.#state.isLeftOut(layer, head));
      each.setAttribute('aria-label', `Layer ${layer}, head ${head}: ${percent(share)}`);
      each.style.setProperty('--share', Math.sqrt(share / most).toFixed(3));
    }
  }

  // The layer and the head of a button; one for a whole layer has no head, and what is no button neither.
  static #of(target) {
    const { layer, head } = target.closest('button')?.dataset ?? {};
    return { layer: layer && Number(layer), head: head && Number(head) };
  }

  #share(layer, head) {
    return this.#state.routes.headShares[layer * this.#state.graph.nHeads + head];
  }

  #build() {
    const { nLayers, nHeads } = this.#state.graph;
    for (let layer = nLayers - 1; layer >= 0; layer--) {
      const row = element('div', '');
      row.append(button(layer, { class: 'layer', 'data-layer': layer, 'aria-label': `All heads of layer ${layer}` }));
      for (let head = 0; head < nHeads; head++) row.append(button('', { 'data-layer': layer, 'data-head': head }));
      this.#buttons.push(...row.children);
      this.#grid.append(row);
    }
    tabTo(this.#buttons, this.#buttons[0]);
  }

  #connect() {
    const grid = this.#grid;
    byId('heads-on').addEventListener('click', () => this.#state.leaveAllOut(false));
    byId('heads-off').addEventListener('click', () => this.#state.leaveAllOut(true));
    grid.addEventListener('click', (event) => {
      const { layer, head } = Heads.#of(event.target);
      if (layer !== undefined) this.#state.leaveOutOrIn(layer, head);
    });
    grid.addEventListener('keydown', (event) => {
      const row = this.#state.graph.nHeads + 1;
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row }[event.key];
      if (!step) return;
      event.preventDefault();
      roam(this.#buttons, event.target.closest('button'), step);
    });
    for (const comes of ['pointerover', 'focusin']) grid.addEventListener(comes, (event) => this.#point(event.target));
    for (const leaves of ['pointerleave', 'focusout']) grid.addEventListener(leaves, () => this.#highlight.rest());
  }

  // A head's lines, while the pointer or the focus is on it.
  #point(target) {
    const { layer, head } = Heads.#of(target);
    if (head === undefined) return;
    const { routes } = this.#state;
    const lines = routes.attentionIn[layer].filter((line) => routes.headsOf(line).includes(head));
    this.#highlight.show({ lines });
    const text = `layer ${layer}, h${head}: ${percent(this.#share(layer, head))} of the flow, ${count(lines.length, 'line')}`;
    this.#tooltip.show([text], target.getBoundingClientRect());
  }
}
