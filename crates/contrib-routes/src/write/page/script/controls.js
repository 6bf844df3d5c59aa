// The controls above the picture.

class Controls {
  #state;
  // Where the slider, which is logarithmic, begins: it has to be less than 1, and not too far from it.
  #least;

  constructor(state) {
    this.#state = state;
    this.#least = Math.min(0.5, Math.max(state.leastThreshold, 1e-6));
    this.#connectThreshold();
    this.#connectTarget();
    this.#connectRanges();
  }

  // Shows what was changed elsewhere.
  show() {
    const { threshold, target, layers, tokens, onlyReached } = this.#state;
    byId('threshold-number').value = threshold;
    byId('target').value = target ?? '';
    byId('all-targets').checked = target === null;
    [byId('layer-first').value, byId('layer-last').value] = layers;
    [byId('token-first').value, byId('token-last').value] = tokens;
    byId('reached').checked = onlyReached;
  }

  #connectThreshold() {
    const [slider, number, state] = [byId('threshold'), byId('threshold-number'), this.#state];
    number.min = state.leastThreshold;
    const read = () => {
      const at = Number(slider.value) / 1000;
      state.setThreshold(at === 0 ? state.leastThreshold : Number((this.#least ** (1 - at)).toPrecision(3)));
    };
    slider.addEventListener('input', () => later(read));
    number.addEventListener('change', () => {
      state.setThreshold(Number(number.value));
      const at = 1 - Math.log(Math.max(state.threshold, this.#least)) / Math.log(this.#least);
      slider.value = Math.round(1000 * at);
    });
  }

  #connectTarget() {
    const [number, state] = [byId('target'), this.#state];
    const targets = state.graph.possibleTargets;
    const step = (by) => {
      const at = targets.findIndex((target) => target >= (state.target ?? state.lastTarget));
      state.setTarget(targets[Math.min(targets.length - 1, Math.max(0, at + by))]);
    };
    byId('target-before').addEventListener('click', () => step(-1));
    byId('target-after').addEventListener('click', () => step(1));
    number.max = state.graph.nPos - 1;
    number.addEventListener('change', () => {
      if (state.isPossible(Number(number.value))) state.setTarget(Number(number.value));
      else this.show();
    });
    byId('all-targets-label').hidden = targets.length < 2;
    byId('all-targets').addEventListener('change', (event) => state.setTarget(event.target.checked ? null : state.lastTarget));
  }

  #connectRanges() {
    for (const [name, id] of [['layers', 'layer'], ['tokens', 'token']]) {
      const ends = [byId(`${id}-first`), byId(`${id}-last`)];
      const read = () => this.#state.setRange(name, Number(ends[0].value), Number(ends[1].value));
      for (const end of ends) end.addEventListener('change', read);
      byId(`${name}-all`).addEventListener('click', () => this.#state.setRange(name, 0, Infinity));
    }
    byId('reached').addEventListener('change', (event) => this.#state.setOnlyReached(event.target.checked));
  }
}
