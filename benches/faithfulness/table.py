"""What was measured, as falls.csv and results.csv, and as tables for README.md."""

import csv
import json
import math
import statistics

from residual_routes.faithfulness import rank_correlation, strongest

TOPS = [1, 3, 5]
KINDS = ["licence", "bible"]
BEST = "best possible"


def of_prompt(state):
    """By the names of variants: the falls for each number of tokens and the rank correlation; `None` where it was not measured."""
    falls = {frozenset(map(int, key.split())): fall for key, fall in state["falls"].items()}
    n_sources = len(state["ids"]) - 1
    singles = [falls[frozenset([position])] for position in range(n_sources)]
    found = {}
    for name, scores in state["scores"].items():
        found[name] = [falls.get(frozenset(strongest(scores[:n_sources], top))) for top in TOPS]
        found[name].append(rank_correlation(scores[:n_sources], singles))
    found[BEST] = [max((fall for hidden, fall in falls.items() if len(hidden) == top), default=None) for top in TOPS] + [1.0]
    return found


def mean_and_error(numbers):
    """The mean, and its standard error; of those that are numbers."""
    numbers = [number for number in numbers if number is not None and not math.isnan(number)]
    if len(numbers) < 2:
        return None
    return statistics.fmean(numbers), statistics.stdev(numbers) / math.sqrt(len(numbers))


def complete(numbers):
    return all(number is not None for number in numbers)


def write_all(folder, here):
    """Writes the means over the prompts of each kind, and of all, into results.csv, and prints them."""
    measured = {kind: [] for kind in KINDS}
    for path in sorted(folder.glob("*.json")):
        state = json.loads(path.read_text())
        if state["falls"]:
            measured[state["kind"]].append(of_prompt(state))
    measured["all"] = [found for kind in KINDS for found in measured[kind]]
    names = list(measured["all"][0])
    columns = [*(f"top {top}" for top in TOPS), "rank correlation"]
    with (here / "results.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["ranking", "text", "prompts", *(cell for column in columns for cell in (column, "standard error"))])
        for name in names:
            for kind, prompts in measured.items():
                row = [name, kind, len(prompts)]
                for column in range(len(columns)):
                    numbers = [found[name][column] for found in prompts]
                    summary = mean_and_error(numbers) if complete(numbers) else None
                    row += ["", ""] if summary is None else [f"{summary[0]:.3f}", f"{summary[1]:.3f}"]
                writer.writerow(row)
