// The picture of the routes, as the layout has placed them.

class Picture {
  #layout;
  #theme;
  #labels;
  #canvas = byId('picture');

  constructor(layout, theme) {
    this.#layout = layout;
    this.#theme = theme;
    this.#labels = new Labels(layout, theme);
  }

  // Gives how many lines were left out because others are stronger.
  draw() {
    const context = clear(this.#canvas);
    this.#drawGrid(context);
    const leftOut = this.#drawLines(context);
    this.#drawMarks(context);
    this.#drawNodes(context);
    this.#labels.draw(context);
    return leftOut;
  }

  #drawGrid(context) {
    const { colours } = this.#theme;
    const { columns, column, left, right, bottom, step, first, last } = this.#layout;
    const top = this.#layout.yBefore(last + 1);
    context.fillStyle = colours.band;
    for (let layer = first + (first % 2); layer <= last; layer += 2) {
      context.fillRect(left, this.#layout.yBefore(layer + 1), right - left, step);
    }
    if (column < 3) return;
    context.lineWidth = 1;
    context.strokeStyle = colours.line;
    context.beginPath();
    for (const position of columns) straight(context, this.#layout.x(position), bottom, this.#layout.x(position), top);
    context.stroke();
    // Where columns that stand side by side are not neighbours.
    context.strokeStyle = colours.faint;
    context.setLineDash([1, 5]);
    context.beginPath();
    for (let i = 1; i < columns.length; i++) {
      if (columns[i] > columns[i - 1] + 1) straight(context, left + column * i, bottom, left + column * i, top);
    }
    context.stroke();
    context.setLineDash([]);
  }

  #drawLines(context) {
    const { routes, scale, bow } = this.#layout;
    const { colours } = this.#theme;
    const [streams, attention, stubs] = [new Strokes(), new Strokes(), new Strokes()];
    this.#layout.eachStream((x, from, to, share) => streams.add(routes.strength(share), x, from, x, to));
    for (const line of this.#layout.lines) attention.add(routes.strength(line.share), ...this.#layout.ends(line));
    for (const stub of this.#layout.stubs) stubs.add(routes.strength(stub.share), ...this.#layout.stubEnds(stub));
    context.lineCap = 'butt';
    let leftOut = streams.draw(context, colours.stream, scale, straight);
    context.setLineDash([3, 2]);
    leftOut += stubs.draw(context, colours.attention, scale, straight);
    context.setLineDash([]);
    context.lineCap = 'round';
    return leftOut + attention.draw(context, colours.attention, scale, curve(bow));
  }

  // A square for each MLP and bias, whose area is its contribution.
  #drawMarks(context) {
    const { colours } = this.#theme;
    const { routes, column, step } = this.#layout;
    if (column < 2) return;
    const widest = Math.min(13, step * 0.7) * Math.min(1, column / 30);
    for (const { kind, from, weight, share } of routes.lines) {
      if (kind !== EDGE.mlpOutput && kind !== EDGE.bias) continue;
      const isFaint = routes.isFaint(share);
      if (!this.#layout.isShown(from) || (isFaint && column < 18)) continue;
      const [x, y] = this.#layout.at(from);
      const side = Math.max(1.5, widest * Math.sqrt(Math.min(1, weight)));
      context.fillStyle = kind === EDGE.bias ? colours.bias : colours.mlp;
      context.globalAlpha = isFaint ? 0.35 : 1;
      context.fillRect(x - side / 2, y - side / 2, side, side);
    }
    context.globalAlpha = 1;
  }

  // A circle where the stream goes from layer to layer.
  #drawNodes(context) {
    const { colours } = this.#theme;
    const { graph, routes, column, step, scale } = this.#layout;
    if (column < 14 || step < 8) return;
    context.fillStyle = colours.ground;
    context.strokeStyle = colours.stream;
    context.lineWidth = 1.2;
    for (let node = 0; node < graph.nodes; node++) {
      const isStream = graph.kind[node] === NODE.residPost || graph.kind[node] === NODE.embedding;
      const share = routes.shareOf(node);
      if (!isStream || !this.#layout.isShown(node) || !routes.isReached[node] || routes.isFaint(share)) continue;
      const [x, y] = this.#layout.at(node);
      context.beginPath();
      context.arc(x, y, (1.7 + widthOf(routes.strength(share)) / 4) * scale, 0, 2 * Math.PI);
      context.fill();
      context.stroke();
    }
  }
}
