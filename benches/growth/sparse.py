"""The candidate for long prompts: given queries and keys, of the contributions only those above a number are wanted."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))
from common import aligned, check, contrib, options, tensor
from factored import AttentionInputs, AttentionResults, QueriesAndKeys, sized

HEADS, D_HEAD, D = 12, 64, 768
# There are fewer than 1 / ABOVE contributions above it.
ABOVE, ROOM = 0.01, 99
# `CONTRIB_CAUSAL`.
CAUSAL = 1
INT32 = ("int32", 0, 32)
# The deviation of a query's scores. Of 512 keys the one with the largest has a third of the pattern then, and 64 have more
# than a thousandth each: nearly as many as in a model (realistic.rs).
DEVIATION = 3
# Queries whose scores are in memory together while inputs are made.
BLOCK = 512


class SparseAttention:
    """A causal prompt of GPT-2 small as queries and keys, and room for the contributions above 0.01. Both are made in memory
    that is linear in the number of tokens."""

    def __init__(self, tokens, seed=3):
        random = np.random.default_rng(seed)

        def normal(*shape):
            return random.standard_normal(shape, np.float32)

        # Scores, which are divided by the square root of D_HEAD, are then normally distributed with this deviation.
        self.queries = aligned(np.float32(DEVIATION) * normal(1, tokens, HEADS, D_HEAD))
        self.keys = aligned(normal(1, tokens, HEADS, D_HEAD))
        self.values = aligned(normal(1, tokens, HEADS, D_HEAD))
        self.w_o = aligned(normal(HEADS, D_HEAD, D) / np.float32(np.sqrt(D)))
        added = self.added()
        # The stream is several times larger than what attention adds to it, as in models.
        self.pre = aligned((5 * added.std() * normal(tokens, D))[None])
        self.mid = aligned(self.pre + added)

        self.out_attn = aligned(np.zeros((1, tokens, ROOM), np.float32))
        self.indices = aligned(np.zeros((1, tokens, ROOM), np.int32))
        self.counts = aligned(np.zeros((1, tokens), np.int32))
        self.left_out = aligned(np.zeros((1, tokens), np.float32))
        self.out_resid = aligned(np.zeros((1, tokens), np.float32))
        self.outputs = (self.out_attn, self.indices, self.counts, self.left_out, self.out_resid)

    def added(self):
        """What attention adds to the stream, a block of queries at a time."""
        queries, keys, values = self.queries[0], self.keys[0], self.values[0]
        tokens = len(queries)
        moved = np.empty((tokens, HEADS, D_HEAD), np.float32)
        for start in range(0, tokens, BLOCK):
            end = min(start + BLOCK, tokens)
            for head in range(HEADS):
                scaled = queries[start:end, head] / np.float32(np.sqrt(D_HEAD))
                pattern = scaled @ keys[:end, head].T
                # Scores are so small that their exponentials are finite.
                np.exp(pattern, out=pattern)
                pattern[:, start:] *= np.tri(end - start, dtype=np.float32)
                moved[start:end, head] = pattern @ values[:end, head] / pattern.sum(axis=-1, keepdims=True)
        return moved.reshape(tokens, -1) @ self.w_o.reshape(-1, D)

    def call_contrib(self, norm, context):
        softmax = QueriesAndKeys(queries=tensor(self.queries), keys=tensor(self.keys), first_query=-1, flags=CAUSAL)
        inputs = AttentionInputs(resid_pre=tensor(self.pre), resid_mid=tensor(self.mid), queries_and_keys=sized(softmax),
                                 values=tensor(self.values), w_o=tensor(self.w_o))
        results = AttentionResults(out_attn=tensor(self.out_attn), indices=tensor(self.indices, INT32),
                                   counts=tensor(self.counts, INT32), left_out=tensor(self.left_out), above=ABOVE,
                                   out_resid=tensor(self.out_resid))
        arguments = (sized(inputs), sized(results), options(norm, context))
        return lambda: check(contrib.contrib_attention_factored(*arguments))

    def check_results(self):
        """That a call has written them, and that nothing is lost."""
        off = np.abs(self.out_attn.sum(axis=-1) + self.left_out + self.out_resid - 1).max()
        found = (self.out_attn > ABOVE).sum(axis=-1)
        if not (off < 1e-4 and (found == self.counts).all() and ((self.indices >= 0).sum(axis=-1) == found).all()):
            raise SystemExit(f"sparse results are not what they should be; sums are off by {off:.1e}")
