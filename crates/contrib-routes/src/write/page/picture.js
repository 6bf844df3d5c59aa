'use strict';

// The picture: a column for each token, a step up for each layer. The lower half of a step is attention, the upper half the MLP.

// Lengths are in CSS pixels.
const MARGIN = { left: 58, right: 22, top: 62, bottom: 8 };
const WIDEST_COLUMN = 96;
const HIGHEST_STEP = 34;
// Below this strength, things are faint.
const LEAST_STRENGTH = 0.005;
// The most lines of a kind that are drawn: the strongest.
const MOST_LINES = 20000;
const LEVELS = 240;
const MOST_HEAD_LABELS = 300;
const NEAR = 7;

// Area, not width, is what the eye compares.
const widthOf = (strength) => 8 * Math.sqrt(strength);

// Lines sorted by strength, eight levels for each halving of it, so that many are drawn with one stroke.
class Strokes {
  constructor() {
    this.levels = [];
    this.count = 0;
  }

  add(strength, ...ends) {
    const level = Math.min(LEVELS, Math.max(0, Math.floor(-8 * Math.log2(strength))));
    (this.levels[level] ??= []).push(...ends);
    this.count++;
  }

  // The strongest come last, over the others. Of more lines than can be told apart, the weakest levels are left out; gives how many
  // lines those are.
  draw(context, colour, scale, trace) {
    context.strokeStyle = colour;
    const palest = this.count > 1000 ? 0.12 : 0.3;
    let drawn = this.levels[0]?.length / 4 || 0;
    let last = 0;
    while (last + 1 < this.levels.length) {
      const more = (this.levels[last + 1]?.length ?? 0) / 4;
      if (drawn > 0 && drawn + more > MOST_LINES) break;
      drawn += more;
      last++;
    }
    for (let level = last; level >= 0; level--) {
      const lines = this.levels[level] ?? [];
      const width = widthOf(2 ** (-level / 8)) * scale;
      // A line is no thinner than half a pixel: below that it becomes paler.
      context.lineWidth = Math.max(0.5, width);
      context.globalAlpha = Math.max(palest, Math.min(1, 2 * width));
      for (let start = 0; start < lines.length; start += 1024) {
        context.beginPath();
        const end = Math.min(lines.length, start + 1024);
        for (let i = start; i < end; i += 4) trace(context, lines[i], lines[i + 1], lines[i + 2], lines[i + 3]);
        context.stroke();
      }
    }
    context.globalAlpha = 1;
    return this.count - drawn;
  }
}

class Picture {
  constructor(graph, canvas, overlay) {
    Object.assign(this, { graph, canvas, overlay });
    this.columnOf = new Int32Array(graph.nPos);
  }

  // What is shown: the columns' positions, and layers from `first` to `last`.
  show(routes, columns, first, last) {
    Object.assign(this, { routes, columns, first, last });
    this.columnOf.fill(-1);
    columns.forEach((position, column) => (this.columnOf[position] = column));
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    const room = width - MARGIN.left - MARGIN.right;
    this.column = Math.min(WIDEST_COLUMN, room / Math.max(1, columns.length));
    this.left = MARGIN.left + (room - this.column * columns.length) / 2;
    this.step = Math.min(HIGHEST_STEP, (height - MARGIN.top - MARGIN.bottom) / (last - first + 1));
    this.bottom = height - MARGIN.bottom;
    this.scale = Math.min(1, Math.max(0.2, this.column / 40), this.step / 13);
    // By layer, to find what is under the pointer.
    this.linesOf = Array.from({ length: this.graph.nLayers }, () => []);
    for (const line of routes.lines) {
      if (line.kind === EDGE.attention) this.linesOf[this.graph.layer[line.to]].push(line);
    }
  }

  isFaint(share) {
    return this.routes.strength(share) < LEAST_STRENGTH;
  }

  x(position) {
    return this.left + this.column * (this.columnOf[position] + 0.5);
  }

  // Of the stream before a layer.
  yBefore(layer) {
    return this.bottom - this.step * (layer - this.first);
  }

  // Where a node is; marks are beside the stream.
  at(node) {
    const { graph, step } = this;
    const beside = Math.min(11, this.column / 3);
    const [x, y] = [this.x(graph.position[node]), this.yBefore(graph.layer[node])];
    switch (graph.kind[node]) {
      case NODE.embedding: return [x, y];
      case NODE.attentionBias: return [x + beside, y - step / 4];
      case NODE.residMid: return [x, y - step / 2];
      case NODE.mlp: return [x - beside, y - (3 / 4) * step];
      case NODE.mlpBias: return [x + beside, y - (3 / 4) * step];
      default: return [x, y - step];
    }
  }

  isShown(node) {
    const { graph } = this;
    const layer = graph.layer[node];
    const isBelow = layer === this.first - 1 && graph.kind[node] === NODE.residPost;
    return this.columnOf[graph.position[node]] >= 0 && (isBelow || (layer >= this.first && layer <= this.last));
  }

  // A line of the stream or of attention: where it begins and ends.
  ends(line) {
    const [x1, y1] = this.at(line.from);
    const [x2, y2] = this.at(line.to);
    return [x1, y1, x2, y2];
  }

  clear(canvas) {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext('2d');
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    context.lineCap = 'round';
    return context;
  }

  // Gives how many lines were left out because others are stronger.
  draw(colours) {
    const { routes } = this;
    const context = this.clear(this.canvas);
    this.drawGrid(context, colours);
    const [streams, attention] = [new Strokes(), new Strokes()];
    for (const line of routes.lines) {
      if (!this.isShown(line.to) || !this.isShown(line.from)) continue;
      if (line.kind === EDGE.attention) attention.add(routes.strength(line.share), ...this.ends(line));
    }
    this.eachStream((x, from, to, share) => streams.add(routes.strength(share), x, from, x, to));
    const straight = (path, x1, y1, x2, y2) => {
      path.moveTo(x1, y1);
      path.lineTo(x2, y2);
    };
    const curve = (path, ...ends) => this.trace(path, ends);
    context.lineCap = 'butt';
    let leftOut = streams.draw(context, colours.stream, this.scale, straight);
    context.lineCap = 'round';
    leftOut += attention.draw(context, colours.attention, this.scale, curve);
    this.drawNodes(context, colours);
    this.drawHeads(context, colours);
    return leftOut;
  }

  trace(path, [x1, y1, x2, y2]) {
    const bend = x1 === x2 ? Math.min(14, this.column / 3) : (x2 - x1) / 2;
    path.moveTo(x1, y1);
    path.bezierCurveTo(x1 + bend, y1, x1 === x2 ? x2 + bend : x2 - bend, y2, x2, y2);
  }

  drawGrid(context, colours) {
    const { columns, column } = this;
    const right = this.left + column * columns.length;
    const top = this.yBefore(this.last + 1);
    context.font = '11px "Segoe UI", "Helvetica Neue", Arial, "DejaVu Sans", sans-serif';
    context.textAlign = 'right';
    context.textBaseline = 'middle';
    const every = Math.ceil(13 / this.step);
    for (let layer = this.first; layer <= this.last; layer++) {
      const y = this.yBefore(layer);
      context.fillStyle = colours.band;
      if (layer % 2 === 0) context.fillRect(this.left, y - this.step, right - this.left, this.step);
      context.fillStyle = colours.pale;
      if ((layer - this.first) % every === 0) {
        context.fillText(layer === this.first ? `layer ${layer}` : layer, this.left - 8, y - this.step / 2);
      }
    }
    if (column < 3) return;
    context.strokeStyle = colours.line;
    context.lineWidth = 1;
    context.beginPath();
    for (const position of columns) {
      context.moveTo(this.x(position), this.bottom);
      context.lineTo(this.x(position), top);
    }
    context.stroke();
    // Where columns that stand side by side are not neighbours.
    context.setLineDash([1, 5]);
    context.beginPath();
    for (let i = 1; i < columns.length; i++) {
      if (columns[i] === columns[i - 1] + 1) continue;
      context.moveTo(this.left + column * i, this.bottom);
      context.lineTo(this.left + column * i, top);
    }
    context.strokeStyle = colours.faint;
    context.stroke();
    context.setLineDash([]);
  }

  // The stream of each position, half a layer at a time: what its residual edge and its MLP, which reads it, bring.
  eachStream(draw) {
    const { graph, routes } = this;
    const shares = new Map();
    for (const line of routes.lines) {
      const isStream = line.kind === EDGE.residual || line.kind === EDGE.mlpOutput;
      if (isStream && this.isShown(line.to)) shares.set(line.to, (shares.get(line.to) ?? 0) + line.share);
    }
    for (const [node, share] of shares) {
      const [x, y] = this.at(node);
      const isWhole = graph.isParallel;
      if (this.isShown(node) && y < this.bottom) draw(x, y + (isWhole ? this.step : this.step / 2), y, share);
    }
  }

  drawNodes(context, colours) {
    const { graph, routes } = this;
    const hasRoom = this.column >= 14 && this.step >= 8;
    for (const line of routes.lines) {
      if (line.kind !== EDGE.mlpOutput && line.kind !== EDGE.bias) continue;
      if (!this.isShown(line.from) || (this.isFaint(line.share) && this.column < 18)) continue;
      const [x, y] = this.at(line.from);
      const side = Math.max(1.5, Math.min(13, this.step * 0.7) * Math.sqrt(Math.min(1, line.weight)) * Math.min(1, this.column / 30));
      context.fillStyle = line.kind === EDGE.bias ? colours.bias : colours.mlp;
      context.globalAlpha = this.isFaint(line.share) ? 0.35 : 1;
      context.fillRect(x - side / 2, y - side / 2, side, side);
    }
    context.globalAlpha = 1;
    if (!hasRoom) return;
    context.fillStyle = colours.ground;
    context.strokeStyle = colours.stream;
    context.lineWidth = 1.2;
    for (let node = 0; node < graph.nodes; node++) {
      const kind = graph.kind[node];
      if (!routes.isReached[node] || (kind !== NODE.residPost && kind !== NODE.embedding) || !this.isShown(node)) continue;
      const share = routes.shareOf(node);
      if (this.isFaint(share)) continue;
      const [x, y] = this.at(node);
      context.beginPath();
      context.arc(x, y, (1.7 + widthOf(this.routes.strength(share)) / 4) * this.scale, 0, 2 * Math.PI);
      context.fill();
      context.stroke();
    }
  }

  // The names of heads above their lines, where they arrive or where they begin, the strongest first, and none over another.
  drawHeads(context, colours) {
    if (this.column < 44 || this.step < 11) return;
    const taken = [];
    const lines = this.routes.lines.filter(
      (line) => line.kind === EDGE.attention && !this.isFaint(line.share) && this.isShown(line.to) && this.isShown(line.from),
    );
    lines.sort((one, other) => other.share - one.share);
    context.font = '10px "Segoe UI", "Helvetica Neue", Arial, "DejaVu Sans", sans-serif';
    context.fillStyle = colours.attention;
    context.textAlign = 'center';
    context.textBaseline = 'bottom';
    for (const line of lines.slice(0, MOST_HEAD_LABELS)) {
      const heads = this.heads(line);
      if (!heads.length) continue;
      let name = heads.map((head) => `h${head}`).join(' ');
      if (context.measureText(name).width > this.column - 30) name = `${heads.length} heads`;
      const width = context.measureText(name).width;
      const [x1, , x2, y] = this.ends(line);
      const isBow = x1 === x2;
      const bottom = isBow ? y + 11 : y - widthOf(this.routes.strength(line.share)) / 2;
      const middles = isBow ? [x2 + 16 + width / 2] : [x2 - this.column / 2, x1 + this.column / 2];
      for (const middle of middles) {
        const box = [middle - width / 2, bottom - 10, middle + width / 2, bottom];
        if (taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) continue;
        taken.push(box);
        context.fillText(name, middle, bottom);
        break;
      }
    }
  }

  heads(line) {
    const heads = Array.from(this.routes.edgesOf(line), (edge) => this.graph.head[edge]);
    return heads.filter((head) => head < this.graph.nHeads);
  }

  // Draws a node, lines, or both over the picture.
  highlight(colours, node, lines) {
    const context = this.clear(this.overlay);
    context.strokeStyle = colours.focus;
    for (const line of lines) {
      if (!this.isShown(line.to) || !this.isShown(line.from)) continue;
      context.lineWidth = Math.max(1.5, widthOf(this.routes.strength(line.share)) * this.scale);
      context.beginPath();
      this.trace(context, this.ends(line));
      context.stroke();
    }
    if (node < 0 || !this.isShown(node)) return;
    const [x, y] = this.at(node);
    context.lineWidth = 2.5;
    context.beginPath();
    context.arc(x, y, 6.5, 0, 2 * Math.PI);
    context.stroke();
  }

  // The node or the line at a point, the node first: { node }, { line } or null.
  find(x, y) {
    const { graph, routes, columns } = this;
    const column = Math.floor((x - this.left) / this.column);
    const layer = this.first + Math.floor((this.bottom - y) / this.step);
    let [best, distance] = [null, NEAR ** 2];
    for (const position of columns.slice(Math.max(0, column - 1), column + 2)) {
      for (const near of [layer - 1, layer, layer + 1]) {
        for (const kind of Object.values(NODE)) {
          const node = graph.find(near, kind, position);
          if (node < 0 || !routes.isReached[node] || !this.isShown(node)) continue;
          const [atX, atY] = this.at(node);
          const apart = (atX - x) ** 2 + (atY - y) ** 2;
          if (apart < distance) [best, distance] = [{ node }, apart];
        }
      }
    }
    if (best) return best;
    let near = NEAR;
    for (const line of this.linesOf[layer] ?? []) {
      if (!this.isShown(line.to) || !this.isShown(line.from)) continue;
      const apart = Math.abs(this.yOn(line, x) - y) - (widthOf(this.routes.strength(line.share)) * this.scale) / 2;
      if (apart < near) [best, near] = [{ line }, apart];
    }
    return best;
  }

  // How high a line is at x; NaN beside it.
  yOn(line, x) {
    const [x1, y1, x2, y2] = this.ends(line);
    if (x1 === x2) return x > x1 && x < x1 + 14 ? (y1 + y2) / 2 : NaN;
    let [low, high] = [0, 1];
    const xAt = (t) => x1 * (1 - t) ** 3 + ((x1 + x2) / 2) * 3 * t * (1 - t) + x2 * t ** 3;
    if ((x - x1) * (x - x2) > 0) return NaN;
    for (let i = 0; i < 12; i++) {
      const middle = (low + high) / 2;
      if (xAt(middle) < x === x1 < x2) low = middle;
      else high = middle;
    }
    return y1 + (y2 - y1) * (3 * low ** 2 - 2 * low ** 3);
  }
}
