// The whole of a long prompt, and the window of it that is shown.

class Overview {
  #state;
  #theme;
  #canvas = byId('overview');

  constructor(state, theme) {
    this.#state = state;
    this.#theme = theme;
    this.#canvas.hidden = !state.isLong;
    this.#canvas.setAttribute('aria-valuemax', state.graph.nPos - 1);
    this.#canvas.addEventListener('pointerdown', (event) => this.#drag(event));
    this.#canvas.addEventListener('keydown', (event) => {
      if (this.#press(event.key)) event.preventDefault();
    });
  }

  show() {
    if (this.#canvas.hidden) return;
    const [first, last] = this.#state.tokens;
    this.#canvas.setAttribute('aria-valuenow', first);
    this.#canvas.setAttribute('aria-valuetext', `positions ${first} to ${last}`);
    const context = clear(this.#canvas);
    this.#drawWindow(context);
    this.#drawTokens(context);
  }

  get #each() {
    return this.#canvas.clientWidth / this.#state.graph.nPos;
  }

  #drawWindow(context) {
    const { colours } = this.#theme;
    const [first, last] = this.#state.tokens;
    const [start, width, height] = [first * this.#each, Math.max(3, (last - first + 1) * this.#each), this.#canvas.clientHeight];
    context.fillStyle = colours.chosen;
    context.fillRect(start, 0, width, height);
    context.strokeStyle = colours.stream;
    context.strokeRect(start + 0.5, 0.5, width - 1, height - 1);
  }

  #drawTokens(context) {
    const { colours } = this.#theme;
    const { graph, routes, target } = this.#state;
    const [each, height] = [this.#each, this.#canvas.clientHeight];
    const most = largest(routes.tokenShares);
    for (let position = 0; position < graph.nPos; position++) {
      if (!routes.hasPosition[position]) continue;
      const tall = Math.max(3, Math.sqrt(routes.tokenShares[position] / most) * (height - 4));
      context.fillStyle = position === target ? colours.attention : colours.stream;
      context.fillRect(position * each, height - tall, Math.max(1, each - 0.5), tall);
    }
  }

  #move(by) {
    const [first, last] = this.#state.tokens;
    const start = Math.min(this.#state.graph.nPos - 1 - (last - first), Math.max(0, first + by));
    this.#state.setRange('tokens', start, start + last - first);
  }

  #zoom(factor) {
    const [first, last] = this.#state.tokens;
    const [middle, half] = [(first + last) / 2, Math.max(2, ((last - first + 1) * factor) / 2)];
    this.#state.setRange('tokens', middle - half, middle + half);
  }

  // Dragging the window moves it; dragging beside it marks a new one.
  #drag(down) {
    const canvas = this.#canvas;
    const at = (event) => (event.clientX - canvas.getBoundingClientRect().left) / this.#each;
    const start = at(down);
    const [first, last] = this.#state.tokens;
    const isWhole = first === 0 && last === this.#state.graph.nPos - 1;
    const moves = start >= first && start <= last + 1 && !isWhole;
    const move = (event) => {
      const to = at(event);
      if (moves) this.#move(Math.round(first + to - start) - this.#state.tokens[0]);
      else this.#state.setRange('tokens', Math.floor(Math.min(start, to)), Math.floor(Math.max(start, to)));
    };
    canvas.setPointerCapture(down.pointerId);
    canvas.addEventListener('pointermove', move);
    canvas.addEventListener('lostpointercapture', () => canvas.removeEventListener('pointermove', move), { once: true });
  }

  // Whether a key does something.
  #press(key) {
    const [first, last] = this.#state.tokens;
    const by = Math.max(1, Math.round((last - first) / 4));
    const end = this.#state.graph.nPos;
    const step = { ArrowLeft: -by, ArrowRight: by, PageDown: -4 * by, PageUp: 4 * by, Home: -end, End: end }[key];
    if (step) this.#move(step);
    else if (key === '+') this.#zoom(0.5);
    else if (key === '-') this.#zoom(2);
    else return false;
    return true;
  }
}
