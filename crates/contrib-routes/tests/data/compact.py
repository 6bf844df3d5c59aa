"""Makes routes-capitals.txt of routes-capitals.json, the routes that the reference finds in examples/data, in float64.

    python3 compact.py routes-capitals.json > routes-capitals.txt

A weight depends on whether contributions are renormalised and not on the case, so that it is written once. For each
renormalisation: a line "renormalise none" or "renormalise 0.01", and the edges of all its cases, "from to weight" a line, numbered
from 0. For each case: a line "case THRESHOLD START", and a line with the numbers of its edges, as runs "first-last".
"""

import json
import sys
from itertools import groupby


def runs(numbers):
    for _, run in groupby(enumerate(numbers), lambda item: item[1] - item[0]):
        run = [number for _, number in run]
        yield f"{run[0]}-{run[-1]}"


def main(path):
    with open(path) as file:
        cases = json.load(file)["cases"]
    for renormalise, group in groupby(cases, lambda case: case["renormalise"]):
        group = list(group)
        edges = sorted(set(edge for case in group for edge in case["list"]))
        number = {edge: index for index, edge in enumerate(edges)}
        print("renormalise", "none" if renormalise is None else renormalise)
        print("\n".join(edges))
        for case in group:
            print("case", case["threshold"], case["start"])
            print(*runs(sorted(number[edge] for edge in case["list"])))


main(sys.argv[1])
