"""The figure: measurements over lengths of prompts, both axes logarithmic, as SVG."""

import math
from html import escape

FONT = "'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
# Read well on a light and on a dark background, of which there is none in the figure.
TEXT = "#7d8590"
COLOURS = ["#2f81f7", "#1a9e96", "#d45ba4", "#d9822b", "#e5534b", "#a371f7"]
PARTS = "memory of the parts themselves, in f32"
BYTES_OF_A_PART = 12 * 768 * 4

WIDTH, HEIGHT = 960, 520
TOP, BOTTOM = 56, 372
PANELS = [(70, 460), (560, 950)]
UNITS_OF_TIME = [(1e3, "s", 1e3), (0, "ms", 1)]
UNITS_OF_MEMORY = [(1e6, "TB", 1e6), (1e3, "GB", 1e3), (0, "MB", 1)]


class Axis:
    """Numbers to places, logarithmically."""

    def __init__(self, low, high, start, end):
        self.low, self.high = math.log10(low), math.log10(high)
        self.start, self.end = start, end

    def __call__(self, number):
        share = (math.log10(number) - self.low) / ((self.high - self.low) or 1)
        return self.start + share * (self.end - self.start)


def label(number, units):
    """Of a power of ten: "100 ms", "1 s"."""
    least, unit, divisor = next(unit for unit in units if number >= unit[0])
    return f"{number / divisor:g} {unit}"


def text(x, y, content, anchor="start", size=13, weight="normal", colour=TEXT):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
            f'fill="{colour}">{escape(content)}</text>')


def line(points, colour, width=2.0, dashes="", opacity=1.0):
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashes = f' stroke-dasharray="{dashes}"' if dashes else ""
    faint = f' stroke-opacity="{opacity}"' if opacity < 1 else ""
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dashes}{faint}/>'


def marker(x, y, index, colour):
    """A shape for each candidate, so that colours are not needed to tell them apart."""
    r = 4
    if index == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" fill="{colour}"/>'
    square, up = [(-r, -r), (r, -r), (r, r), (-r, r)], [(0, -5), (5, 4), (-5, 4)]
    diamond, down = [(0, -5), (5, 0), (0, 5), (-5, 0)], [(0, 5), (5, -4), (-5, -4)]
    star = [(0, -6), (2, -2), (6, 0), (2, 2), (0, 6), (-2, 2), (-6, 0), (-2, -2)]
    shapes = [square, star, up, diamond, down]
    path = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in shapes[(index - 1) % len(shapes)])
    return f'<polygon points="{path}" fill="{colour}"/>'


def cross(x, y, colour):
    return (f'<path d="M{x - 5:.1f} {y - 5:.1f}l10 10m0 -10l-10 10" stroke="{colour}" stroke-width="2" fill="none"/>')


def panel(rows, candidates, column, title, units, place, with_parts):
    """One of the two diagrams."""
    tokens = sorted({int(row["tokens"]) for row in rows})
    numbers = [float(row[column]) for row in rows if row[column]]
    # What took nothing that could be measured stays in the diagram.
    floor = 0.1
    if with_parts:
        numbers += [BYTES_OF_A_PART * length ** 2 / 1e6 for length in tokens]
    low = 10 ** math.floor(math.log10(max(min(numbers), floor)))
    high = 10 ** math.ceil(math.log10(max(*numbers, 10 * low)))
    # Room at the top for what does not fit.
    x = Axis(tokens[0], tokens[-1], place[0] + 12, place[1] - 12)
    y = Axis(low, high, BOTTOM, TOP + 24)

    drawn = [text(place[0], TOP - 14, title, size=15, weight="bold")]
    exponent = round(math.log10(low))
    while 10 ** exponent <= high:
        at = y(10 ** exponent)
        drawn.append(line([(place[0], at), (place[1], at)], TEXT, 1, opacity=0.3))
        drawn.append(text(place[0] - 8, at + 4, label(10 ** exponent, units), "end"))
        exponent += 1
    for length in tokens:
        drawn.append(line([(x(length), BOTTOM), (x(length), BOTTOM + 5)], TEXT, 1))
        drawn.append(text(x(length), BOTTOM + 20, str(length), "middle", size=11))
    drawn.append(text(sum(place) / 2, BOTTOM + 42, "tokens", "middle"))
    if with_parts:
        drawn.append(line([(x(length), y(BYTES_OF_A_PART * length ** 2 / 1e6)) for length in tokens], TEXT, 1.5, "2 4"))
    for index, candidate in enumerate(candidates):
        colour = COLOURS[index % len(COLOURS)]
        own = [row for row in rows if row["candidate"] == candidate]
        points = [(x(int(row["tokens"])), y(max(float(row[column]), low))) for row in own if row[column]]
        drawn.append(line(points, colour))
        drawn += [marker(*point, index, colour) for point in points]
        for row in own:
            if not row[column]:
                drawn.append(cross(x(int(row["tokens"])), TOP + 6, colour))
                drawn.append(text(x(int(row["tokens"])) + 9, TOP + 10, row["outcome"], size=12, colour=colour))
    return drawn


def draw(rows):
    """Rows as in growth.csv."""
    rows = [row for row in rows if row["outcome"] != "not installed"]
    candidates = list(dict.fromkeys(row["candidate"] for row in rows))
    drawn = panel(rows, candidates, "milliseconds", "Time", UNITS_OF_TIME, PANELS[0], False)
    drawn += panel(rows, candidates, "megabytes", "Peak memory beside inputs and outputs", UNITS_OF_MEMORY,
                   PANELS[1], True)
    for index, candidate in enumerate([*candidates, PARTS]):
        left, at = PANELS[index % 2][0], BOTTOM + 72 + 20 * (index // 2)
        if candidate == PARTS:
            drawn.append(line([(left, at), (left + 28, at)], TEXT, 1.5, "2 4"))
        else:
            colour = COLOURS[index % len(COLOURS)]
            drawn += [line([(left, at), (left + 28, at)], colour), marker(left + 14, at, index, colour)]
        drawn.append(text(left + 36, at + 4, candidate))
    return "\n".join([
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="{FONT}">',
        "<title>Time and memory of one layer's attention over the length of the prompt</title>",
        *drawn, "</svg>", ""])
