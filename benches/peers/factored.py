"""Times contrib_attention_factored beside C loops and PyTorch on the same patterns and values, after checking that all
agree. Started by run.sh, a second time with OMP_WAIT_POLICY=active: OpenMP's threads then spin between calls."""

import ctypes
import os

import numpy as np

from common import (Tensor, aligned, begin, careful, check, context, contrib, largest_difference, load_torch, medians,
                    options, print_table, require, results, tensor, torch_call)

THREADS = 2
SPINNING = os.environ.get("OMP_WAIT_POLICY") == "active"
NORM = 1
TOKENS = [64, 128] if SPINNING else [64, 128, 512]
# PyTorch writes the parts out: 0.6 GB at 128 tokens, and as much again for each step of its formula.
TOKENS_OF_TORCH = 128
# How far from contrib's a contribution may be, for each part of a query. In f32 arithmetic a proximity is off by up to some
# millionth of the sum of all, where that is mostly the stream's, and those of all parts mostly in the same direction.
AGREEMENT = 1e-6
# `CONTRIB_ATTENTION_SUM_HEADS`.
SUM_HEADS = 1
POINTER = ctypes.POINTER(Tensor)


class Shape(ctypes.Structure):
    """`attention_shape` in loops.c."""
    _fields_ = [(name, ctypes.c_int64) for name in ("queries", "keys", "heads", "kv_heads", "d_head", "d")]


class QueriesAndKeys(ctypes.Structure):
    """`contrib_queries_and_keys`."""
    _fields_ = [("struct_size", ctypes.c_size_t), ("queries", POINTER), ("keys", POINTER), ("score_scale", ctypes.c_double),
                ("soft_cap", ctypes.c_double), ("slopes", POINTER), ("sinks", POINTER), ("mask", POINTER),
                ("query_positions", POINTER), ("key_positions", POINTER), ("first_query", ctypes.c_int64),
                ("window", ctypes.c_uint64), ("flags", ctypes.c_uint64)]


class AttentionInputs(ctypes.Structure):
    """`contrib_attention_inputs`."""
    _fields_ = [("struct_size", ctypes.c_size_t), ("resid_pre", POINTER), ("resid_mid", POINTER), ("pattern", POINTER),
                ("queries_and_keys", ctypes.POINTER(QueriesAndKeys)), ("values", POINTER), ("w_o", POINTER), ("value_output", POINTER),
                ("scale", POINTER), ("flags", ctypes.c_uint64), ("prepared", ctypes.c_void_p)]


class AttentionResults(ctypes.Structure):
    """`contrib_attention_results`."""
    _fields_ = [("struct_size", ctypes.c_size_t), ("out_attn", POINTER), ("indices", POINTER), ("counts", POINTER),
                ("left_out", POINTER), ("above", ctypes.c_double), ("out_resid", POINTER),
                ("one_offs", ctypes.c_void_p), ("n_one_offs", ctypes.c_size_t), ("flags", ctypes.c_uint64)]


def sized(struct):
    """A pointer to a struct that says its own size."""
    struct.struct_size = ctypes.sizeof(struct)
    return ctypes.pointer(struct)


class Attention:
    """The tensors of a call of `contrib_attention_factored` for one prompt of GPT-2 small, and room for what comes out."""

    def __init__(self, tokens, causal=False, summed=False, seed=3):
        heads, d_head, d = 12, 64, 768
        self.shape = Shape(tokens, tokens, heads, heads, d_head, d)
        random = np.random.default_rng(seed)

        def normal(*shape):
            return random.standard_normal(shape, np.float32)

        # Softmax of normally distributed scores, head by head, so that nothing else becomes large.
        self.pattern = aligned(np.zeros((1, heads, tokens, tokens), np.float32))
        for head in self.pattern[0]:
            random.standard_normal(dtype=np.float32, out=head)
            np.exp(head, out=head)
            if causal:
                for query, row in enumerate(head):
                    row[query + 1:] = 0
            head /= head.sum(axis=-1, keepdims=True)
        self.values = aligned(normal(1, tokens, heads, d_head))
        self.w_o = aligned(normal(heads, d_head, d) / np.float32(np.sqrt(d)))
        moved = np.stack([self.pattern[0, head] @ self.values[0, :, head] for head in range(heads)], axis=1)
        added = moved.reshape(tokens, -1) @ self.w_o.reshape(-1, d)
        # The stream is several times larger than what attention adds to it, as in models.
        self.pre = aligned((5 * added.std() * normal(tokens, d))[None])
        self.mid = aligned(self.pre + added)
        self.out_attn = aligned(np.zeros((1, tokens, tokens) if summed else (1, tokens, tokens, heads), np.float32))
        self.out_resid = aligned(np.zeros((1, tokens), np.float32))
        self.inputs = (self.pre, self.mid, self.pattern, self.values, self.w_o)
        self.outputs = (self.out_attn, self.out_resid)

    def elements(self):
        """Of the parts."""
        return self.pattern.size * self.shape.d

    def call_contrib(self, norm, context):
        pre, mid, pattern, values, w_o = map(tensor, self.inputs)
        inputs = AttentionInputs(resid_pre=pre, resid_mid=mid, pattern=pattern, values=values, w_o=w_o)
        results = AttentionResults(out_attn=tensor(self.out_attn), out_resid=tensor(self.out_resid))
        results.flags = SUM_HEADS if self.out_attn.ndim == 3 else 0
        arguments = (sized(inputs), sized(results), options(norm, context))
        return lambda: check(contrib.contrib_attention_factored(*arguments))

    def call_loop(self, library, norm, threads):
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (*self.inputs, self.out_attn, self.out_resid)]
        return lambda: enough_memory(library.attention_factored(*pointers, ctypes.byref(self.shape), norm, threads))

    def decompose(self, parts, threads):
        """Writes the parts out into `parts`, for what is given them."""
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (self.pattern, self.values, self.w_o, parts)]
        enough_memory(careful.decompose(*pointers, ctypes.byref(self.shape), threads))

    def call_torch(self, torch, function, norm, threads):
        return torch_call(torch, function, (*map(torch.from_numpy, self.inputs), norm), threads)


def enough_memory(status):
    if status != 0:
        raise MemoryError


def formula(given, norm, query):
    """The contributions to one query, in f64."""
    pattern, values, w_o = (x.astype(np.float64) for x in (given.pattern[0, :, query], given.values[0], given.w_o))
    pre, mid = given.pre[0, query].astype(np.float64), given.mid[0, query].astype(np.float64)
    attn = np.empty(pattern.T.shape)
    of_whole = np.linalg.norm(mid, norm)
    for head, of_head in enumerate(pattern):
        parts = of_head[:, None] * (values[:, head] @ w_o[head])
        attn[:, head] = np.maximum(of_whole - np.linalg.norm(parts - mid + 1e-6, norm, axis=-1), 1e-5)
    resid = np.maximum(of_whole - np.linalg.norm(pre - mid + 1e-6, norm), 1e-5)
    total = attn.sum() + resid
    return attn / total, resid / total


def candidates(given, torch, torch_formula, contexts):
    """Name and threads -> a call."""
    tokens = given.shape.keys
    calls = {}
    for threads, own_context in contexts.items():
        calls["contrib", threads] = given.call_contrib(NORM, own_context)
        calls["careful C loop", threads] = given.call_loop(careful, NORM, threads)
    if torch is not None and tokens <= TOKENS_OF_TORCH:
        functions = {"torch.compile, product": torch_formula.compiled_attention_by_product,
                     "torch eager, product": torch_formula.attention_by_product,
                     "torch eager, einsum": torch_formula.attention_by_einsum}
        for name, function in functions.items():
            calls[name, THREADS] = given.call_torch(torch, function, NORM, THREADS)
    return calls


def compare(tokens, causal, rounds, torch, torch_formula, contexts):
    """Rows of the table."""
    given = Attention(tokens, causal)
    calls = candidates(given, torch, torch_formula, contexts)
    differences = {}
    for (name, threads), call in list(calls.items()):
        if (name, threads) == ("contrib", THREADS):
            reference = results(given, call)
            for query in {0, tokens // 2, tokens - 1}:
                difference = largest_difference((x[0, query] for x in reference), formula(given, NORM, query))
                require(difference, 1e-6, f"contrib, {tokens} tokens, query {query}")
            continue
        # A compiler that does not work is no reason to go without the rest.
        try:
            difference = largest_difference(results(given, call), reference)
        except Exception as error:
            if not name.startswith("torch.compile"):
                raise
            print(f"{name} is left out: {str(error).splitlines()[0]}\n")
            del calls[name, threads]
            continue
        require(difference, AGREEMENT * tokens * given.shape.heads, f"{name}, {tokens} tokens")
        differences[name] = difference
    kind = "causal" if causal else "full"
    print(f"{tokens} tokens, {kind}: all agree; the largest differences from contrib's:",
          "; ".join(f"{name} {difference:.0e}" for name, difference in differences.items()) + ".", flush=True)
    seconds = medians(calls, rounds)
    own = seconds["contrib", THREADS]
    return [[name, str(tokens), kind, str(threads), f"{1e3 * taken:.1f}", f"{given.elements() / taken / 1e9:.2f}",
             f"{taken / own:.2f}"]
            for (name, threads), taken in sorted(seconds.items(), key=lambda item: item[1])]


def main():
    torch, torch_formula, torch_missing = load_torch()
    rounds = begin(__doc__, torch, torch_missing)
    contexts = {threads: context(threads) for threads in (THREADS, 1)}
    print("Attention of one layer of GPT-2 small, given as pattern and values, in f32, norm 1. G elements/s are those of "
          "the parts, masked or not, whether they are written out or not.\n")
    if SPINNING:
        print("Threads of OpenMP spin between calls (OMP_WAIT_POLICY=active).\n")
    rows = [row for tokens in TOKENS for causal in (False, True)
            for row in compare(tokens, causal, rounds, torch, torch_formula, contexts)]
    print()
    print_table(["candidate", "tokens", "pattern", "threads", "ms", "G elements/s", "time / contrib's"], rows)


if __name__ == "__main__":
    main()
