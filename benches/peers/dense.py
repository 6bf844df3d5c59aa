"""Times contrib beside C loops and PyTorch on the same dense parts, after checking that all agree. Started by run.sh."""

import ctypes

import numpy as np

from common import (BF16, F16, F32, aligned, begin, careful, check, context, contrib, largest_difference, load_torch,
                    medians, naive, options, print_table, require, results, tensor, torch_call)

THREADS = [1, 2]
NORMS = [1, 2]
# One layer of GPT-2 small at 64 tokens, 151 MB of parts in f32: far more than the caches hold.
LAYER = (1, 64, 64, 12, 768)
# One layer at the first token: 12 parts.
TOKEN = (1, 1, 1, 12, 768)
# How far from contrib's a contribution may be. In f32 arithmetic the norm of the whole, about 1000 here, is off by some
# 1e-4, and each of the 768 proximities by as much in the same direction; so their sum is off by up to some 0.1.
AGREEMENT = 5e-4

torch, torch_formula, torch_missing = load_torch()
CONTEXTS = {threads: context(threads) for threads in THREADS}


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
        dtypes = (self.dtype, self.dtype, self.dtype, F32, F32)
        arguments = (*map(tensor, self.arrays, dtypes), options(norm, CONTEXTS[threads]))
        return lambda: check(contrib.contrib_attention(*arguments)), arguments

    def call_loop(self, library, norm, threads):
        positions, d = int(np.prod(self.pre.shape[:-1])), self.pre.shape[-1]
        parts = int(np.prod(self.attn.shape[2:-1]))
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in self.arrays]
        arguments = (*pointers, *map(ctypes.c_int64, (positions, parts, d)), norm, threads)
        return lambda: library.attention(*arguments), arguments

    def call_torch(self, function, norm, threads):
        tensors = [torch.from_numpy(array) for array in (self.pre, self.mid, self.attn)]
        return torch_call(torch, function, (*tensors, norm), threads)


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
    rounds = begin(__doc__, torch, torch_missing)
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
