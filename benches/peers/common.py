"""What the scripts share: contrib and the C loops through ctypes, PyTorch where it can be had, timing, tables."""

import argparse
import ctypes
import os
import platform
import statistics
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
contrib = ctypes.CDLL(TARGET / "release/libcontrib.so")
contrib.contrib_last_error_message.restype = ctypes.c_char_p
contrib.contrib_version.restype = ctypes.c_char_p
contrib.contrib_context_threads.restype = ctypes.c_size_t
naive = ctypes.CDLL(TARGET / "peers/libnaive.so")
careful = ctypes.CDLL(TARGET / "peers/libcareful.so")
careful.read_all.restype = ctypes.c_float

# (name, DLPack's code, bits)
F32, F16, BF16 = ("f32", 2, 32), ("f16", 2, 16), ("bf16", 4, 16)


def load_torch():
    """`(torch, torch_formula, None)`, or `(None, None, why not)`."""
    if os.environ.get("PEERS_TORCH", "yes") != "yes":
        return None, None, "PyTorch is left out, as PEERS_TORCH asks."
    try:
        import torch
        import torch_formula
    except Exception as error:
        return None, None, f"PyTorch is left out, since it cannot be loaded: {error}"
    return torch, torch_formula, None


class Tensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
                ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8),
                ("lanes", ctypes.c_uint16), ("shape", ctypes.POINTER(ctypes.c_int64)),
                ("strides", ctypes.POINTER(ctypes.c_int64)), ("byte_offset", ctypes.c_uint64)]


class Options(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("norm", ctypes.c_double), ("context", ctypes.c_void_p),
                ("threshold", ctypes.c_double)]


def check(status):
    assert status == 0, contrib.contrib_last_error_message()


def context(threads):
    """Kept until the process ends."""
    made = ctypes.c_void_p()
    check(contrib.contrib_context_new(ctypes.c_size_t(threads), ctypes.byref(made)))
    assert contrib.contrib_context_threads(made) == threads
    return made


def tensor(array, dtype=F32):
    """A pointer to contrib's view of the array."""
    shape = (ctypes.c_int64 * array.ndim)(*array.shape)
    view = Tensor(array.ctypes.data, 1, 0, array.ndim, *dtype[1:], 1, shape, None, 0)
    view.array = array  # must live as long
    return ctypes.pointer(view)


def options(norm, context):
    return ctypes.pointer(Options(ctypes.sizeof(Options), norm, context))


def aligned(array):
    """A copy that begins at a cache line, as allocators of inference engines give it."""
    memory = np.empty(array.nbytes + 64, np.uint8)
    copy = memory[-memory.ctypes.data % 64:][:array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def largest_difference(one, other):
    return max(float(np.abs(x - y).max()) for x, y in zip(one, other))


def require(difference, limit, what):
    if not difference <= limit:
        raise SystemExit(f"{what}: off by {difference:.1e}, more than {limit:.0e}")


def medians(calls, rounds):
    """Median seconds of each call, the calls taking turns, each once unmeasured before it is measured: after the pause
    in which the threads of the one before it go to sleep, its own have to wake up."""
    seconds = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            time.sleep(0.02)
            call()
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(all_seconds) for name, all_seconds in seconds.items()}


def print_table(head, rows):
    """Markdown, aligned: the first column left, the others right."""
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    rule = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]
    for row in [head, rule, *rows]:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print("| " + " | ".join(cells) + " |", flush=True)
    print()


def results(given, call):
    """What a call gives: what it returns, or what it writes."""
    given.out_attn.fill(np.nan)
    given.out_resid.fill(np.nan)
    returned = call()
    if isinstance(returned, tuple):
        return tuple(x.numpy().copy() for x in returned)
    return given.out_attn.copy(), given.out_resid.copy()


def torch_call(torch, function, arguments, threads):
    def call():
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        with torch.inference_mode():
            return function(*arguments)
    return call


def begin(description, torch, torch_missing):
    """Reads the command line, and says what is measured with what. Returns the number of rounds."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=15, help="measurements of each call; medians are given")
    rounds = parser.parse_args().rounds
    versions = [f"contrib {contrib.contrib_version().decode()}", f"NumPy {np.__version__}"]
    if torch is not None:
        versions.append(f"PyTorch {torch.__version__}")
    print(f"{', '.join(versions)}; {platform.machine()}, {os.cpu_count()} processors; medians of {rounds} rounds.\n")
    if torch is None:
        print(torch_missing + "\n")
    return rounds
