// The shapes of lines. Each adds one to a path.

function straight(path, x1, y1, x2, y2) {
  path.moveTo(x1, y1);
  path.lineTo(x2, y2);
}

// From column to column, or, with a bow, back to the same.
const curve = (bow) => (path, x1, y1, x2, y2) => {
  const [bend, back] = x1 === x2 ? [bow, -bow] : [(x2 - x1) / 2, (x2 - x1) / 2];
  path.moveTo(x1, y1);
  path.bezierCurveTo(x1 + bend, y1, x2 - back, y2, x2, y2);
};
