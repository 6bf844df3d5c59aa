"""Measures routes in recordings of prompts of several lengths, and draws it. Started by run.sh."""

import argparse
import csv
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
TABLE, FIGURE = HERE / "routes.csv", HERE / "routes.svg"
# Of --csv of the example `speed`.
COLUMNS = ["tokens", "targets", "threshold", "heads", "milliseconds", "processor_milliseconds", "reached", "nodes", "edges",
           "megabytes"]

TOKENS = [256, 512, 1024, 2048, 4096, 8192]
THREADS = 2
THRESHOLD = 0.04
# What the lengths of prompts are compared by.
THRESHOLDS = [0.32, 0.16, 0.08, 0.04, 0.02, 0.01]
# All positions are targets in prompts up to this length.
ALL_TARGETS = 2048
# In longer ones, so many.
SOME_TARGETS = [1, 16, 64]
# The shortest of so many runs counts; of half as many in prompts from this length on.
RUNS, LONG = 6, 4096
# Debian has these everywhere; the repository has one of them.
TEXTS = [Path("/usr/share/common-licenses/Apache-2.0"), Path("/usr/share/common-licenses/GPL-3")]
OWN_TEXT, OWN_TIMES = ROOT / "LICENSE-APACHE", 5


def recording(folder, tokens):
    return folder / f"smollm2-{tokens}.safetensors"


def record(folder, lengths):
    """Records the prompts that are not recorded yet."""
    missing = [tokens for tokens in lengths if not recording(folder, tokens).exists()]
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    texts = [text.read_text() for text in TEXTS if text.exists()]
    prompt = folder / "prompt.txt"
    prompt.write_text("".join(texts) if len(texts) == len(TEXTS) else OWN_TIMES * OWN_TEXT.read_text())
    tools = ROOT / "tools" / "record"
    model = subprocess.run([tools / "smollm2.sh"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    subprocess.run([sys.executable, tools / "record.py", ROOT / model, f"@{prompt}", "-o", folder / "smollm2-{}.safetensors",
                    "--tokens", ",".join(map(str, missing))], check=True)


def calls(tokens):
    """What is measured in a prompt: every how many positions one is a target, the threshold, and further options."""
    for threshold in THRESHOLDS:
        yield tokens, threshold, []
    if tokens <= ALL_TARGETS:
        yield 1, THRESHOLD, []
    for targets in SOME_TARGETS[1:]:
        yield tokens // targets, THRESHOLD, []
    yield tokens, THRESHOLD, ["--summed"]


def measure(folder, tokens, runs):
    program = TARGET / "release" / "examples" / "speed"
    for step, threshold, further in calls(tokens):
        times = runs if tokens < LONG else max(1, runs // 2)
        command = [program, recording(folder, tokens), "--targets", str(step), "--threshold", str(threshold), "--runs",
                   str(times), "--threads", str(THREADS), "--csv", *further]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        row = dict(zip(COLUMNS, done.stdout.strip().split(","), strict=True))
        print(f"{row['tokens']} tokens, {row['targets']} targets, threshold {row['threshold']}, {row['heads']}: "
              f"{row['milliseconds']} ms, {row['reached']} wholes, {row['edges']} edges, {row['megabytes']} MB", flush=True)
        yield row


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", default=",".join(map(str, TOKENS)), help="lengths of the prompts")
    parser.add_argument("--recordings", type=Path, default=TARGET / "record", help="where recordings are, or are put")
    parser.add_argument("--runs", type=int, default=RUNS, help="the shortest of so many counts")
    parser.add_argument("--table", type=Path, default=TABLE, help="where the measurements are written")
    parser.add_argument("--figure", type=Path, default=FIGURE, help="where the figure is written")
    parser.add_argument("--draw-only", action="store_true", help="draws the measurements that are there")
    arguments = parser.parse_args()
    if not arguments.draw_only:
        lengths = [int(number) for number in arguments.tokens.split(",")]
        record(arguments.recordings, lengths)
        with arguments.table.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            for tokens in lengths:
                for row in measure(arguments.recordings, tokens, arguments.runs):
                    writer.writerow(row)
                    file.flush()
    from figure import draw
    with arguments.table.open(newline="") as file:
        arguments.figure.write_text(draw(list(csv.DictReader(file))))


if __name__ == "__main__":
    main()
