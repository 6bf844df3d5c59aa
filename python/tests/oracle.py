"""The formula in float64, without a trick in it."""

import numpy as np


def proximities(whole, parts, norm):
    distance = np.linalg.norm(parts - whole + 1e-6, norm, axis=-1)
    return np.maximum(np.linalg.norm(whole, norm, axis=-1) - distance, 1e-5)


def group_contributions(whole, groups, norm=1):
    """``whole`` is ``[v.., d]``, each of ``groups`` ``[p.., v.., d]``."""
    whole = np.asarray(whole, np.float64)
    each = [proximities(whole, np.asarray(parts, np.float64), norm) for parts in groups]
    total = sum(group.sum(axis=tuple(range(group.ndim - whole.ndim + 1))) for group in each)
    return [group / total for group in each]


def pattern(queries, keys, causal=True):
    """``queries`` ``[batch, pos, head, d]``, ``keys`` ``[batch, key_pos, kv_head, d]``; the queries are the last positions."""
    queries, keys = np.asarray(queries, np.float64), np.asarray(keys, np.float64)
    keys = np.repeat(keys, queries.shape[2] // keys.shape[2], axis=2)
    scores = np.einsum("bqhd,bkhd->bhqk", queries, keys) / np.sqrt(queries.shape[-1])
    if causal:
        n_pos, n_keys = scores.shape[2:]
        allowed = np.arange(n_keys)[None, :] <= np.arange(n_keys - n_pos, n_keys)[:, None]
        scores = np.where(allowed, scores, -np.inf)
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def decomposed_attn(pattern, values, w_o):
    """``[batch, pos, key_pos, head, d_model]``."""
    values, w_o = np.asarray(values, np.float64), np.asarray(w_o, np.float64)
    values = np.repeat(values, w_o.shape[0] // values.shape[2], axis=2)
    return np.einsum("bhqk,bkhr,hrd->bqkhd", np.asarray(pattern, np.float64), values, w_o)


def attention(resid_pre, resid_mid, parts, norm=1):
    attn, resid = group_contributions(resid_mid, [np.moveaxis(parts, (2, 3), (0, 1)), resid_pre], norm)
    return np.moveaxis(attn, (0, 1), (2, 3)), resid
