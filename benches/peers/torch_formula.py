"""The formula of contrib_attention in PyTorch, as one would write it: written from the formula, not from anyone's code."""

import torch
from torch.nn.functional import pairwise_distance


def attention(resid_pre, resid_mid, decomposed_attn, norm):
    """`[batch, pos, d]` twice and `[batch, pos, key_pos, head, d]` -> `[batch, pos, key_pos, head]`, `[batch, pos]`."""
    of_whole = torch.linalg.vector_norm(resid_mid, ord=norm, dim=-1)
    # pairwise_distance is the formula's distance: the norm of the difference plus eps, along the last axis.
    of_attn = pairwise_distance(decomposed_attn, resid_mid[:, :, None, None], p=norm, eps=1e-6)
    of_resid = pairwise_distance(resid_pre, resid_mid, p=norm, eps=1e-6)
    attn = (of_whole[:, :, None, None] - of_attn).clamp(min=1e-5)
    resid = (of_whole - of_resid).clamp(min=1e-5)
    total = attn.sum(dim=(2, 3)) + resid
    return attn / total[:, :, None, None], resid / total


# Caching kernels on disk is off in run.sh; each number of threads gets a compilation of its own.
compiled_attention = torch.compile(attention, dynamic=False)
