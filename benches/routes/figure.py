"""The figure: time against what routes reach, and against the length of the prompt, all axes logarithmic, as SVG."""

import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "growth"))
from draw import BOTTOM, COLOURS, FONT, PANELS, TEXT, TOP, UNITS_OF_TIME, WIDTH, Axis, label, line, marker, text

HEIGHT = 500
IN_PROPORTION = "in proportion to what is reached"
THRESHOLD = 0.04


def decade_below(number):
    return 10 ** math.floor(math.log10(number))


def decade_above(number):
    return 10 ** math.ceil(math.log10(number))


def number_of(row, column):
    return float(row[column])


def frame(place, title, below, x, y, marks):
    """A panel without what it shows: `marks` are the numbers along the horizontal axis, and how they are written."""
    drawn = [text(place[0], TOP - 14, title, size=15, weight="bold")]
    for exponent in range(round(y.low), round(y.high) + 1):
        at = y(10 ** exponent)
        drawn.append(line([(place[0], at), (place[1], at)], TEXT, 1, opacity=0.3))
        drawn.append(text(place[0] - 8, at + 4, label(10 ** exponent, UNITS_OF_TIME), "end"))
    for number, name in marks:
        drawn.append(line([(x(number), BOTTOM), (x(number), BOTTOM + 5)], TEXT, 1))
        drawn.append(text(x(number), BOTTOM + 20, name, "middle", size=11))
    drawn.append(text(sum(place) / 2, BOTTOM + 42, below, "middle"))
    return drawn


def series(points, index):
    """Points `(x, y)` with a line through them, in the order of x."""
    colour = COLOURS[index % len(COLOURS)]
    return [line(sorted(points), colour), *(marker(*point, index, colour) for point in points)]


def legend(names, left, with_proportion):
    drawn = []
    for index, name in enumerate(names):
        across, at = left + 130 * (index % 3), BOTTOM + 70 + 20 * (index // 3)
        colour = COLOURS[index % len(COLOURS)]
        drawn += [line([(across, at), (across + 28, at)], colour), marker(across + 14, at, index, colour),
                  text(across + 36, at + 4, name)]
    if with_proportion:
        at = BOTTOM + 70 + 20 * -(-len(names) // 3)
        drawn += [line([(left, at), (left + 28, at)], TEXT, 1.5, "2 4"), text(left + 36, at + 4, IN_PROPORTION)]
    return drawn


def by_reached(rows, place):
    rows = [row for row in rows if row["heads"] == "each"]
    reached, times = ([number_of(row, column) for row in rows] for column in ("reached", "milliseconds"))
    lengths = sorted({int(row["tokens"]) for row in rows})
    x = Axis(min(reached), max(reached), place[0] + 12, place[1] - 12)
    y = Axis(decade_below(min(times)), decade_above(max(times)), BOTTOM, TOP)
    exponents = range(math.ceil(math.log10(min(reached))), math.floor(math.log10(max(reached))) + 1)
    marks = [(10 ** exponent, f"{10 ** exponent:,}".replace(",", " ")) for exponent in exponents]
    drawn = frame(place, "Time, of prompts of each length", "sums in the stream that are reached, of all layers", x, y, marks)
    # From the longest time down, as far as the panel goes.
    most, longest = max(reached), max(times)
    least = max(min(reached), most * 10 ** y.low / longest)
    drawn.append(line([(x(least), y(longest * least / most)), (x(most), y(longest))], TEXT, 1.5, "2 4"))
    for index, length in enumerate(lengths):
        drawn += series([(x(number_of(row, "reached")), y(number_of(row, "milliseconds"))) for row in rows
                         if int(row["tokens"]) == length], index)
    return drawn + legend([f"{length} tokens" for length in lengths], place[0], True)


def by_tokens(rows, place):
    rows = [row for row in rows if row["heads"] == "each" and number_of(row, "threshold") == THRESHOLD]
    lengths = sorted({int(row["tokens"]) for row in rows})
    times = [number_of(row, "milliseconds") for row in rows]
    x = Axis(lengths[0], lengths[-1], place[0] + 12, place[1] - 12)
    y = Axis(decade_below(min(times)), decade_above(max(times)), BOTTOM, TOP)
    drawn = frame(place, f"Time, threshold {THRESHOLD}", "tokens", x, y, [(length, str(length)) for length in lengths])
    # All positions of a short prompt may be fewer targets than a number that is measured everywhere.
    counts = sorted({int(row["targets"]) for row in rows if row["targets"] != row["tokens"]})
    kinds = {f"{count} target" + "s" * (count > 1): [row for row in rows if int(row["targets"]) == count] for count in counts}
    kinds["all positions"] = [row for row in rows if row["targets"] == row["tokens"]]
    for index, own in enumerate(kinds.values()):
        if own:
            drawn += series([(x(int(row["tokens"])), y(number_of(row, "milliseconds"))) for row in own], index)
    return drawn + legend(list(kinds), place[0], False)


def draw(rows):
    """Rows as in routes.csv."""
    return "\n".join([
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="{FONT}">',
        "<title>Time of the routes of SmolLM2-135M over what they reach and over the length of the prompt</title>",
        *by_reached(rows, PANELS[0]), *by_tokens(rows, PANELS[1]), "</svg>", ""])
