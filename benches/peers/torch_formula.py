"""The formula of contrib_attention and contrib_attention_factored in PyTorch, as one would write it. Written from the formula, from nobody's code."""

import torch
from torch.nn.functional import pairwise_distance


def plain_distance(parts, whole, norm):
    """The formula's distance is one that PyTorch has: the norm of the difference plus eps, along the last axis."""
    return pairwise_distance(parts, whole, p=norm, eps=1e-6)


def distance_in_place(parts, whole, norm):
    """The same for the norms 1 and 2, with one temporary array: faster where nothing is compiled."""
    difference = (parts - whole).add_(1e-6)
    return difference.abs_().sum(dim=-1) if norm == 1 else difference.square_().sum(dim=-1).sqrt_()


def attention(resid_pre, resid_mid, decomposed_attn, norm, distance=plain_distance):
    """`[batch, pos, d]` twice and `[batch, pos, key_pos, head, d]` -> `[batch, pos, key_pos, head]`, `[batch, pos]`."""
    of_whole = torch.linalg.vector_norm(resid_mid, ord=norm, dim=-1)
    of_attn = distance(decomposed_attn, resid_mid[:, :, None, None], norm)
    of_resid = distance(resid_pre, resid_mid, norm)
    attn = (of_whole[:, :, None, None] - of_attn).clamp(min=1e-5)
    resid = (of_whole - of_resid).clamp(min=1e-5)
    total = attn.sum(dim=(2, 3)) + resid
    return attn / total[:, :, None, None], resid / total


def attention_in_place(resid_pre, resid_mid, decomposed_attn, norm):
    """The same, with less to write and read again."""
    return attention(resid_pre, resid_mid, decomposed_attn, norm, distance_in_place)


# Caching kernels on disk is off in run.sh; each number of threads gets a compilation of its own.
compiled_attention = torch.compile(attention, dynamic=False)


def decomposed_by_einsum(pattern, values, w_o):
    """`[batch, head, pos, key_pos]`, `[batch, key_pos, kv_head, d_head]`, `[head, d_head, d]` -> the parts, in one line."""
    values = values.repeat_interleave(pattern.shape[1] // values.shape[2], dim=2)
    return torch.einsum("bhqk,bkhd,hdm->bqkhm", pattern, values, w_o)


def decomposed_by_product(pattern, values, w_o):
    """The same with the matrices multiplied first, which is far less to calculate."""
    values = values.repeat_interleave(pattern.shape[1] // values.shape[2], dim=2)
    value_output = torch.einsum("bkhd,hdm->bkhm", values, w_o)
    return pattern.permute(0, 2, 3, 1)[..., None] * value_output[:, None]


def attention_by_einsum(resid_pre, resid_mid, pattern, values, w_o, norm):
    return attention(resid_pre, resid_mid, decomposed_by_einsum(pattern, values, w_o), norm)


def attention_by_product(resid_pre, resid_mid, pattern, values, w_o, norm):
    return attention(resid_pre, resid_mid, decomposed_by_product(pattern, values, w_o), norm)


compiled_attention_by_product = torch.compile(attention_by_product, dynamic=False)
