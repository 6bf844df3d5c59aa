// Lines sorted by strength, eight levels for each halving of it, so that many are drawn with one stroke.

// Area, not width, is what the eye compares.
const widthOf = (strength) => 8 * Math.sqrt(strength);

class Strokes {
  // The most lines that are drawn: the strongest.
  static #MOST = 20000;
  static #LEVELS = 240;
  #levels = [];
  #count = 0;

  add(strength, x1, y1, x2, y2) {
    const level = Math.min(Strokes.#LEVELS, Math.max(0, Math.floor(-8 * Math.log2(strength))));
    (this.#levels[level] ??= []).push(x1, y1, x2, y2);
    this.#count++;
  }

  // The strongest come last, over the others. Of more lines than can be told apart, the weakest levels are left out; gives how many
  // lines those are.
  draw(context, colour, scale, trace) {
    context.strokeStyle = colour;
    const palest = this.#count > 1000 ? 0.12 : 0.3;
    let [end, drawn] = [0, 0];
    for (; end < this.#levels.length; end++) {
      const more = (this.#levels[end]?.length ?? 0) / 4;
      if (drawn > 0 && drawn + more > Strokes.#MOST) break;
      drawn += more;
    }
    for (let level = end - 1; level >= 0; level--) {
      const lines = this.#levels[level] ?? [];
      const width = widthOf(2 ** (-level / 8)) * scale;
      // A line is no thinner than half a pixel: below that it becomes paler.
      context.lineWidth = Math.max(0.5, width);
      context.globalAlpha = Math.max(palest, Math.min(1, 2 * width));
      for (let start = 0; start < lines.length; start += 1024) {
        context.beginPath();
        const stop = Math.min(lines.length, start + 1024);
        for (let i = start; i < stop; i += 4) trace(context, lines[i], lines[i + 1], lines[i + 2], lines[i + 3]);
        context.stroke();
      }
    }
    context.globalAlpha = 1;
    return this.#count - drawn;
  }
}
