// The heading, and the box of the prediction above its column.

class Heading {
  #state;
  #layout;
  #texts;

  constructor(state, layout, texts) {
    this.#state = state;
    this.#layout = layout;
    this.#texts = texts;
    byId('prompt').replaceChildren(element('bdi', state.graph.prompt ?? ''));
    byId('model').textContent = state.graph.model ?? '';
  }

  // `undrawn` lines are too weak to be drawn.
  show(undrawn) {
    this.#writeTitle();
    this.#writeCounts(undrawn);
    this.#showPrediction();
  }

  // What the model predicts after the target, where the recording says so.
  get #predicted() {
    const { graph, target } = this.#state;
    return target === graph.nPos - 1 ? graph.nextTokens[0] : undefined;
  }

  #writeTitle() {
    const { graph, target } = this.#state;
    const [title, predicted] = [byId('title'), this.#predicted];
    if (target === null) title.replaceChildren(`Where ${graph.possibleTargets.length} predictions came from`);
    else if (predicted) title.replaceChildren('Where “', this.#texts.short(predicted[0]), '” came from');
    else title.replaceChildren('Where the prediction after “', this.#texts.shortToken(target), '” came from');
    document.title = title.textContent;
  }

  // Nothing is hidden without being counted.
  #writeCounts(undrawn) {
    const { graph, routes } = this.#state;
    const { leaving, outside } = this.#layout;
    const edges = `${routes.edges.length.toLocaleString('en')} of ${count(graph.edges, 'edge')}`;
    const facts = [`${edges}, ${count(routes.reached, 'node')}`];
    if (leaving) facts.push(`${count(leaving, 'line')} to tokens not shown`);
    if (outside) facts.push(`${count(outside, 'line')} between tokens not shown`);
    if (undrawn) facts.push(`the weakest ${count(undrawn, 'line')} not drawn`);
    byId('counts').textContent = facts.join('; ');
    byId('counts').dataset.edges = routes.edges.length;
  }

  #showPrediction() {
    const { graph, target, layers } = this.#state;
    const [box, predicted] = [byId('prediction'), this.#predicted];
    box.hidden = target === null || !this.#layout.hasColumn(target) || layers[1] !== graph.nLayers - 1;
    if (box.hidden) return;
    byId('predicted').replaceChildren(predicted ? this.#texts.short(predicted[0]) : 'prediction');
    byId('probability').textContent = predicted ? `p = ${predicted[1].toFixed(2)}` : `after position ${target}`;
    const width = byId('canvases').clientWidth;
    box.style.left = `${Math.min(width - 118, Math.max(2, this.#layout.x(target) - 58))}px`;
    box.style.top = `${Math.max(4, this.#layout.yBefore(graph.nLayers) - 54)}px`;
  }
}
