"""Times contrib beside C loops and PyTorch on the same input, after checking that all agree. Started by run.sh."""

import argparse
import ctypes
import os
import platform
import statistics
import time
from pathlib import Path

import numpy as np

torch = None
torch_missing = "PyTorch is left out, as PEERS_TORCH asks."
if os.environ.get("PEERS_TORCH", "yes") == "yes":
    try:
        import torch
        import torch_formula
    except Exception as error:
        torch, torch_missing = None, f"PyTorch is left out, since it cannot be loaded: {error}"

TARGET = Path(__file__).resolve().parents[2] / "target"
contrib = ctypes.CDLL(TARGET / "release/libcontrib.so")
contrib.contrib_last_error_message.restype = ctypes.c_char_p
contrib.contrib_version.restype = ctypes.c_char_p
contrib.contrib_context_threads.restype = ctypes.c_size_t
naive = ctypes.CDLL(TARGET / "peers/libnaive.so")
careful = ctypes.CDLL(TARGET / "peers/libcareful.so")
careful.read_all.restype = ctypes.c_float

THREADS = [1, 2]
NORMS = [1, 2]
# One layer of GPT-2 small at 64 tokens, 151 MB of parts in f32: far more than the caches hold.
LAYER = (1, 64, 64, 12, 768)
# One layer at the first token: 12 parts.
TOKEN = (1, 1, 1, 12, 768)
# How far from contrib's a contribution may be. In f32 arithmetic the norm of the whole, about 1000 here, is off by some
# 1e-4, and each of the 768 proximities by as much in the same direction; so their sum is off by up to some 0.1.
AGREEMENT = 5e-4
# (name, DLPack's code, bits)
F32, F16, BF16 = ("f32", 2, 32), ("f16", 2, 16), ("bf16", 4, 16)


class Tensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
                ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8),
                ("lanes", ctypes.c_uint16), ("shape", ctypes.POINTER(ctypes.c_int64)),
                ("strides", ctypes.POINTER(ctypes.c_int64)), ("byte_offset", ctypes.c_uint64)]


class Options(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("norm", ctypes.c_double), ("context", ctypes.c_void_p)]


def check(status):
    assert status == 0, contrib.contrib_last_error_message()


def context(threads):
    """Kept until the process ends."""
    made = ctypes.c_void_p()
    check(contrib.contrib_context_new(ctypes.c_size_t(threads), ctypes.byref(made)))
    assert contrib.contrib_context_threads(made) == threads
    return made


CONTEXTS = {threads: context(threads) for threads in THREADS}


def aligned(array):
    """A copy that begins at a cache line, as allocators of inference engines give it."""
    memory = np.empty(array.nbytes + 64, np.uint8)
    copy = memory[-memory.ctypes.data % 64:][:array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def to_bf16(array):
    """The bits, rounded to nearest even; NumPy has no bf16."""
    bits = array.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def widened(array, dtype):
    return (array.astype(np.uint32) << 16).view(np.float32) if dtype is BF16 else array


class Input:
    """The three tensors of a call of `contrib_attention` in one dtype, and room for what comes out."""

    def __init__(self, tensors, dtype=F32):
        convert = {"f32": lambda x: x, "f16": lambda x: x.astype(np.float16), "bf16": to_bf16}[dtype[0]]
        self.dtype = dtype
        self.pre, self.mid, self.attn = (aligned(convert(tensor)) for tensor in tensors)
        self.out_attn = aligned(np.zeros(self.attn.shape[:-1], np.float32))
        self.out_resid = aligned(np.zeros(self.pre.shape[:-1], np.float32))
        self.arrays = (self.pre, self.mid, self.attn, self.out_attn, self.out_resid)

    def call_contrib(self, norm, threads):
        """A function that makes the call, and its arguments."""
        def tensor(array, dtype):
            shape = (ctypes.c_int64 * array.ndim)(*array.shape)
            view = Tensor(array.ctypes.data, 1, 0, array.ndim, *dtype[1:], 1, shape, None, 0)
            view.array = array  # must live as long
            return ctypes.pointer(view)

        dtypes = (self.dtype, self.dtype, self.dtype, F32, F32)
        tensors = [tensor(*pair) for pair in zip(self.arrays, dtypes)]
        options = Options(ctypes.sizeof(Options), norm, CONTEXTS[threads])
        arguments = (*tensors, ctypes.pointer(options))
        return lambda: check(contrib.contrib_attention(*arguments)), arguments

    def call_loop(self, library, norm, threads):
        positions, d = int(np.prod(self.pre.shape[:-1])), self.pre.shape[-1]
        parts = int(np.prod(self.attn.shape[2:-1]))
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in self.arrays]
        arguments = (*pointers, *map(ctypes.c_int64, (positions, parts, d)), norm, threads)
        return lambda: library.attention(*arguments), arguments

    def call_torch(self, function, norm, threads):
        tensors = [torch.from_numpy(array) for array in (self.pre, self.mid, self.attn)]

        def call():
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
            with torch.inference_mode():
                return function(*tensors, norm)
        return call


def random_input(shape, seed):
    batch, pos, _, _, d = shape
    random = np.random.default_rng(seed)
    attn = random.standard_normal(shape, np.float32)
    attn *= 0.05
    pre = random.standard_normal((batch, pos, d), np.float32)
    return pre, (pre + attn.sum(axis=(2, 3), dtype=np.float64)).astype(np.float32), attn


def formula(given, norm):
    """The contributions at the first position of each batch entry, in f64."""
    pre, mid, attn = (widened(x, given.dtype)[:, :1].astype(np.float64) for x in (given.pre, given.mid, given.attn))
    of_whole = np.linalg.norm(mid, norm, axis=-1)
    whole = mid[:, :, None, None]
    attn = np.maximum(of_whole[:, :, None, None] - np.linalg.norm(attn - whole + 1e-6, norm, axis=-1), 1e-5)
    resid = np.maximum(of_whole - np.linalg.norm(pre - mid + 1e-6, norm, axis=-1), 1e-5)
    total = attn.sum(axis=(2, 3)) + resid
    return attn / total[:, :, None, None], resid / total


def largest_difference(one, other):
    return max(float(np.abs(x - y).max()) for x, y in zip(one, other))


def results(given, call):
    """What a call gives: what it returns, or what it writes."""
    given.out_attn.fill(np.nan)
    given.out_resid.fill(np.nan)
    returned = call()
    if torch is not None and isinstance(returned, tuple):
        return tuple(x.numpy().copy() for x in returned)
    return given.out_attn.copy(), given.out_resid.copy()


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


def torch_formulas():
    return {"torch.compile": torch_formula.compiled_attention, "torch eager in place": torch_formula.attention_in_place,
            "torch eager": torch_formula.attention}


def layer_candidates(given):
    """(candidate, threads, norm) -> a call."""
    calls = {}
    for norm in NORMS:
        for threads in THREADS:
            calls["contrib", threads, norm] = given.call_contrib(norm, threads)[0]
            calls["careful C loop", threads, norm] = given.call_loop(careful, norm, threads)[0]
            if torch is not None:
                for name, function in torch_formulas().items():
                    calls[name, threads, norm] = given.call_torch(function, norm, threads)
        calls["naive C loop", 1, norm] = given.call_loop(naive, norm, 1)[0]
    return calls


def compare_layer(given, rounds):
    calls = layer_candidates(given)
    differences = {}
    for (candidate, threads, norm), call in list(calls.items()):
        if candidate == "contrib":
            reference = results(given, call)
            exact = formula(given, norm)
            require(largest_difference((x[:, :1] for x in reference), exact), 1e-6, f"contrib, norm {norm}")
            continue
        # A compiler that does not work is no reason to go without the rest.
        try:
            difference = largest_difference(results(given, call), reference)
        except Exception as error:
            if candidate != "torch.compile":
                raise
            print(f"torch.compile is left out, {threads} threads, norm {norm}: {str(error).splitlines()[0]}\n")
            del calls[candidate, threads, norm]
            continue
        require(difference, AGREEMENT, f"{candidate}, {threads} threads, norm {norm}")
        differences[candidate] = max(difference, differences.get(candidate, 0.0))
    print("All agree. contrib's are the formula's in f64, rounded; the largest differences from them:",
          "; ".join(f"{candidate} {difference:.0e}" for candidate, difference in differences.items()) + ".\n")

    parts = given.attn.ctypes.data_as(ctypes.c_void_p)
    for threads in THREADS:
        calls["reading only", threads, "-"] = (
            lambda threads=threads: careful.read_all(parts, ctypes.c_int64(given.attn.size), threads))
    seconds = medians(calls, rounds)
    order = ["reading only", "contrib", "careful C loop", "naive C loop", "torch.compile", "torch eager in place",
             "torch eager"]
    rows = []
    for (candidate, threads, norm) in sorted(seconds, key=lambda key: (str(key[2]), key[1], order.index(key[0]))):
        own = seconds[candidate, threads, norm]
        share = seconds["reading only", threads, "-"] / own
        to_contrib = "" if norm == "-" else f"{own / seconds['contrib', threads, norm]:.2f}"
        rows.append([candidate, str(threads), str(norm), f"{1e3 * own:.1f}", f"{given.attn.nbytes / own / 1e9:.1f}",
                     f"{100 * share:.0f} %", to_contrib])
    print_table(["candidate", "threads", "norm", "ms", "GB/s", "of reading", "time / contrib's"], rows)


def compare_dtypes(tensors, rounds):
    calls, sizes = {}, {}
    for dtype in (F32, F16, BF16):
        given = Input(tensors, dtype)
        sizes[dtype[0]] = given.attn.nbytes
        for norm in NORMS:
            exact = formula(given, norm)
            for threads in THREADS:
                call = given.call_contrib(norm, threads)[0]
                got = results(given, call)
                require(largest_difference((x[:, :1] for x in got), exact), 1e-6, f"contrib, {dtype[0]}, norm {norm}")
                calls[dtype[0], threads, norm] = call
    seconds = medians(calls, rounds)
    rows = []
    for (dtype, threads, norm) in sorted(seconds, key=lambda key: (key[2], key[1])):
        own = seconds[dtype, threads, norm]
        rows.append([f"contrib, {dtype}", str(threads), str(norm), f"{1e3 * own:.1f}",
                     f"{sizes[dtype] / own / 1e9:.1f}", f"{own / seconds['f32', threads, norm]:.2f}"])
    print_table(["inputs", "threads", "norm", "ms", "GB/s", "time / f32's"], rows)


def compare_token(rounds):
    given = Input(random_input(TOKEN, 2))
    repeats = 1000
    times = ctypes.c_int64(repeats)
    calls, counts = {}, {}

    def add(name, norm, call, count):
        calls[name, norm], counts[name, norm] = call, count

    for norm in NORMS:
        call, contrib_arguments = given.call_contrib(norm, 1)
        reference = results(given, call)
        require(largest_difference(reference, formula(given, norm)), 1e-6, f"contrib, one token, norm {norm}")
        call, loop_arguments = given.call_loop(careful, norm, 1)
        difference = largest_difference(results(given, call), reference)
        require(difference, AGREEMENT, f"careful C loop, one token, norm {norm}")
        add("contrib", norm, lambda arguments=contrib_arguments: check(
            careful.repeat_contrib_attention(times, contrib.contrib_attention, *arguments)), repeats)
        add("careful C loop", norm, lambda arguments=loop_arguments: careful.repeat_attention(
            times, *arguments), repeats)
        if torch is not None:
            call = given.call_torch(torch_formula.attention, norm, 1)
            difference = largest_difference(results(given, call), reference)
            require(difference, AGREEMENT, f"torch eager, one token, norm {norm}")
            add("torch eager", norm, lambda call=call: [call() for _ in range(50)], 50)
    seconds = {key: own / counts[key] for key, own in medians(calls, rounds).items()}
    rows = [[name, str(norm), f"{1e6 * own:.2f}", f"{own / seconds['contrib', norm]:.2f}"]
            for (name, norm), own in sorted(seconds.items(), key=lambda item: item[0][1])]
    print_table(["candidate", "norm", "microseconds", "time / contrib's"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="measurements of each call; medians are given")
    rounds = parser.parse_args().rounds

    versions = [f"contrib {contrib.contrib_version().decode()}", f"NumPy {np.__version__}"]
    if torch is not None:
        versions.append(f"PyTorch {torch.__version__}")
    print(f"{', '.join(versions)}; {platform.machine()}, {os.cpu_count()} processors; medians of {rounds} rounds.\n")
    if torch is None:
        print(torch_missing + "\n")

    tensors = random_input(LAYER, 1)
    megabytes = tensors[2].nbytes / 1e6
    print(f"Attention of one layer, parts {list(LAYER)} in f32, {megabytes:.0f} MB; GB/s of parts read.\n")
    compare_layer(Input(tensors), rounds)
    print("The same with inputs in half precision.\n")
    compare_dtypes(tensors, rounds)
    print("One token, 12 parts of 768 numbers: the latency of a call, one thread. "
          "(PyTorch is called from Python, the others from C.)\n")
    compare_token(rounds)


if __name__ == "__main__":
    main()
