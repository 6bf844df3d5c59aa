"""Measures how time and memory of one layer's attention grow with the length of a prompt, and draws it. Started by run.sh."""

import argparse
import csv
import ctypes
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))

TABLE, FIGURE = HERE / "growth.csv", HERE / "growth.svg"
COLUMNS = ["candidate", "tokens", "milliseconds", "megabytes", "outcome"]
TOKENS = [64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768]
THREADS = 2
NORM = 1
SPARSE = "contrib, from queries and keys, sparse"
# Prompts up to this length, for each candidate. Those that write the parts out stop by themselves where these no longer fit;
# results for each head are themselves a gigabyte at 4096 tokens.
CANDIDATES = {
    "contrib, summed over heads": 4096,
    "contrib, each head": 1024,
    SPARSE: 32768,
    "parts written out, then contrib's dense attention": 256,
    "PyTorch eager": 4096,
    "torch.compile": 4096,
}
OF_TORCH = ("PyTorch eager", "torch.compile")
MEASURED, TOO_LARGE, NOT_THERE = "measured", "too large", "not installed"
# Longer than is worth waiting for.
MINUTES_AT_MOST = 5
# Calls are repeated so long, and so often.
SECONDS_OF_CALLS, CALLS = 3, 9


def inputs_of(candidate, tokens):
    """What is given, and room for the results."""
    from factored import Attention
    from sparse import SparseAttention
    if candidate == SPARSE:
        return SparseAttention(tokens)
    return Attention(tokens, causal=True, summed=candidate == "contrib, summed over heads")


def call_of(candidate, given):
    """What is measured, from pattern (or queries and keys) and values to contributions."""
    import numpy as np
    from common import check, context, contrib, load_torch, options, tensor
    if candidate in OF_TORCH:
        torch, torch_formula, missing = load_torch()
        if torch is None:
            raise ModuleNotFoundError(missing)
        function = {"PyTorch eager": torch_formula.attention_by_product,
                    "torch.compile": torch_formula.compiled_attention_by_product}[candidate]
        return given.call_torch(torch, function, NORM, THREADS)
    if not candidate.startswith("parts written out"):
        return given.call_contrib(NORM, context(THREADS))

    own_options = options(NORM, context(THREADS))
    inputs = [tensor(array) for array in (given.pre, given.mid)]
    outputs = [tensor(array) for array in (given.out_attn, given.out_resid)]

    def dense():
        parts = np.empty((*given.out_attn.shape, given.shape.d), np.float32)
        given.decompose(parts, THREADS)
        check(contrib.contrib_attention(*inputs, tensor(parts), *outputs, own_options))
    return dense


def kilobytes(name):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise SystemExit(f"/proc/self/status does not say {name}")


def measure(candidate, tokens):
    """In a process of its own, where nothing else has taken memory."""
    # Libraries are loaded and threads started in a small call, before memory is measured.
    call_of(candidate, inputs_of(candidate, 8))()

    given = inputs_of(candidate, tokens)
    call = call_of(candidate, given)
    # It compiles for each shape anew, and that is no part of the call.
    if candidate == "torch.compile":
        call()
    # In memory, as outputs that a caller has used before are.
    for output in given.outputs:
        output.fill(1)
    # What the allocator keeps of what was freed would be used by the call unseen.
    ctypes.CDLL(None).malloc_trim(0)
    # From now on the peak is counted anew (proc_pid_clear_refs(5)).
    Path("/proc/self/clear_refs").write_text("5")
    before = kilobytes("VmRSS")
    start = time.perf_counter()
    call()
    seconds = [time.perf_counter() - start]
    peak = 1024 * (kilobytes("VmHWM") - before)
    # PyTorch makes its outputs itself.
    if candidate in OF_TORCH:
        peak -= given.out_attn.nbytes + given.out_resid.nbytes
    # The first call is not measured but where it takes so long that another would not differ by much.
    if seconds[0] < SECONDS_OF_CALLS:
        deadline = time.perf_counter() + SECONDS_OF_CALLS
        seconds = []
        while not seconds or (len(seconds) < CALLS and time.perf_counter() < deadline):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
    if candidate == SPARSE:
        given.check_results()
    return {"milliseconds": 1e3 * statistics.median(seconds), "megabytes": max(peak, 0) / 1e6, "outcome": MEASURED}


def child(candidate, tokens, limit):
    """Prints one line of JSON."""
    # If all is full nevertheless, this process is to be ended and no other.
    Path("/proc/self/oom_score_adj").write_text("1000")
    # Private memory that can be written to: what is allocated, and not what libraries map.
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    try:
        print(json.dumps(measure(candidate, tokens)))
    except ModuleNotFoundError:
        print(json.dumps({"outcome": NOT_THERE}))
    except (MemoryError, RuntimeError) as error:
        # PyTorch has no error of its own for this.
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            print(json.dumps({"outcome": TOO_LARGE}))
        else:
            raise


def bytes_available():
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    raise SystemExit("/proc/meminfo does not say what is available")


def run_child(candidate, tokens, gigabytes):
    limit = int(min(1e9 * gigabytes, bytes_available() - 1e9))
    command = [sys.executable, __file__, "--child", candidate, str(tokens), str(limit)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=60 * MINUTES_AT_MOST)
    except subprocess.TimeoutExpired:
        return {"outcome": f"more than {MINUTES_AT_MOST} minutes"}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    result = json.loads(lines[-1]) if done.returncode == 0 and lines else {}
    # The kernel ended it, or C++ where an allocation failed.
    ended = done.returncode in (-signal.SIGKILL, -signal.SIGABRT) or "bad_alloc" in done.stderr
    if ended or result.get("outcome") == TOO_LARGE:
        return {"outcome": f"more than {limit / 1e9:.0f} GB"}
    if not result:
        raise SystemExit(done.stderr)
    return result


def measure_all(tokens, gigabytes):
    rows = []
    for candidate, longest in CANDIDATES.items():
        for number in tokens:
            if number > longest:
                continue
            row = {"candidate": candidate, "tokens": number, **run_child(candidate, number, gigabytes)}
            for column, digits in (("milliseconds", 3), ("megabytes", 1)):
                row[column] = f"{row[column]:.{digits}f}" if column in row else ""
            print(f"{candidate}, {number} tokens: "
                  + (f"{row['milliseconds']} ms, {row['megabytes']} MB" if row["outcome"] == MEASURED
                     else row["outcome"]), flush=True)
            rows.append(row)
            if row["outcome"] != MEASURED:
                break
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", default=",".join(map(str, TOKENS)), help="lengths of the prompts")
    parser.add_argument("--gigabytes", type=float, default=12, help="the most memory that a process may take")
    parser.add_argument("--table", type=Path, default=TABLE, help="where the measurements are written")
    parser.add_argument("--figure", type=Path, default=FIGURE, help="where the figure is written")
    parser.add_argument("--draw-only", action="store_true", help="draws the measurements that are there")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        candidate, tokens, limit = arguments.child
        child(candidate, int(tokens), int(limit))
        return
    if not arguments.draw_only:
        rows = measure_all([int(number) for number in arguments.tokens.split(",")], arguments.gigabytes)
        with arguments.table.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    from draw import draw
    with arguments.table.open(newline="") as file:
        arguments.figure.write_text(draw(list(csv.DictReader(file))))


if __name__ == "__main__":
    main()
