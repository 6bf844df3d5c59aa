"""What was measured, as results.csv, and as tables in README.md."""

import csv
import json
import math
import statistics

from residual_routes.faithfulness import rank_correlation, strongest
from variants import tops_of

TOPS = [1, 3, 5]
KINDS = ["licence", "bible"]
BEST = "best possible"
# What differences are taken from: the choice that routes make unless told otherwise.
DEFAULT = "routes, 1-norm, 0.04"
COLUMNS = [*(f"top {top}" for top in TOPS), "rank correlation", f"top 3 over {DEFAULT}"]
TOP_3, DIFFERENCE = 1, 4


def of_prompt(state):
    """By the names of rankings: the numbers of COLUMNS, `None` where they were not measured."""
    falls = {frozenset(map(int, key.split())): fall for key, fall in state["falls"].items()}
    n_sources = len(state["ids"]) - 1
    singles = [falls[frozenset([position])] for position in range(n_sources)]
    found = {}
    for name, scores in state["scores"].items():
        # A set may be known because another ranking has it. To count it would choose prompts by what is found there.
        tops = tops_of(name, state.get("explored", False))
        found[name] = [falls[frozenset(strongest(scores[:n_sources], top))] if top in tops else None for top in TOPS]
        found[name].append(rank_correlation(scores[:n_sources], singles))
    found[BEST] = [max((fall for hidden, fall in falls.items() if len(hidden) == top), default=None) for top in TOPS] + [1.0]
    for numbers in found.values():
        numbers.append(None if numbers[TOP_3] is None else numbers[TOP_3] - found[DEFAULT][TOP_3])
    return found


def mean_and_error(numbers):
    """The mean and its standard error; `None` where a number is missing. A correlation that is not defined does not count."""
    if None in numbers:
        return None
    numbers = [number for number in numbers if not math.isnan(number)]
    return (statistics.fmean(numbers), statistics.stdev(numbers) / math.sqrt(len(numbers))) if len(numbers) > 1 else None


def summaries(folder):
    """Of each ranking and kind of text: the number of prompts, and the mean and error of each of COLUMNS."""
    measured = {kind: [] for kind in KINDS}
    for path in sorted(folder.glob("*.json")):
        state = json.loads(path.read_text())
        if state["falls"]:
            measured[state["kind"]].append(of_prompt(state))
    measured["all"] = [found for kind in KINDS for found in measured[kind]]
    for name in measured["all"][0]:
        for kind, prompts in measured.items():
            # Ways that were given up were measured on some prompts alone.
            of_name = [found[name] for found in prompts if found[name][TOP_3] is not None]
            yield name, kind, len(of_name), [mean_and_error([numbers[column] for numbers in of_name]) for column in range(len(COLUMNS))]


def shown(summary, sign=""):
    return "" if summary is None else f"{summary[0]:{sign}.2f} ± {summary[1]:.2f}"


def markdown(found, names, count):
    """The table of these rankings, the greatest fall at three tokens first."""
    by_name = {}
    for name, kind, _, row in found:
        by_name.setdefault(name, {})[kind] = row
    lines = ["| ranking | top 1 | top 3 | top 5 | licences, top 3 | Bible, top 3 | ranks | top 3, over the default |",
             "|---|---:|---:|---:|---:|---:|---:|---:|"]
    for name in sorted(names, key=lambda name: -by_name[name]["all"][TOP_3][0]):
        rows = by_name[name]
        cells = [shown(number) for number in rows["all"][:3]]
        cells += [shown(rows[kind][TOP_3]) for kind in KINDS]
        cells += [shown(rows["all"][3]), "" if name == DEFAULT else shown(rows["all"][DIFFERENCE], "+")]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([f"Of {count} prompts:", "", *lines])


def replaced(text, name, table):
    """The text with the table between the comments of this name."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, rest = text.split(begin)
    return before + begin + "\n" + table + "\n\n" + end + rest.split(end)[1]


def write_all(folder, here):
    """Writes results.csv, and the tables into README.md."""
    found = list(summaries(folder))
    with (here / "results.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["ranking", "text", "prompts", *(cell for column in COLUMNS for cell in (column, "standard error"))])
        for name, kind, count, row in found:
            cells = [["", ""] if summary is None else [f"{number:.3f}" for number in summary] for summary in row]
            writer.writerow([name, kind, count, *(cell for pair in cells for cell in pair)])
    counts = {name: count for name, kind, count, _ in found if kind == "all" and count > 1}
    most = max(counts.values())
    readme = here / "README.md"
    text = readme.read_text()
    text = replaced(text, "table", markdown(found, [name for name, count in counts.items() if count == most], most))
    some = [name for name, count in counts.items() if count < most]
    text = replaced(text, "tried", markdown(found, some, min(counts.values())) if some else "(None.)")
    readme.write_text(text)
