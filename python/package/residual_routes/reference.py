"""The six functions of the reference, the ``routes.contributions`` module of Meta's LM Transparency Tool, by their names and signatures.

Code that uses that module changes one import::

    import residual_routes.reference as contributions

Results are those of the reference in float64, rounded to the type that PyTorch's promotion gives; no copies of the parts are made.
They carry no gradient. Two results differ, where the reference's code breaks its own documentation (``sum(dim=())`` sums over every
axis):

- ``get_contributions`` of parts without a part axis (``parts`` shaped like ``whole``): each is 1, the reference divides by a sum over
  the batch;
- ``apply_threshold_and_renormalize`` with one block for each representation (``c_blocks`` shaped like ``c_residual``): each representation
  sums to 1, in the reference all of them together.
"""

from __future__ import annotations

from typing import Any

from . import _native

__all__ = [
    "apply_threshold_and_renormalize",
    "get_attention_contributions",
    "get_contributions",
    "get_contributions_with_one_off_part",
    "get_decomposed_mlp_contributions",
    "get_mlp_contributions",
]


def get_contributions(parts: Any, whole: Any, distance_norm: float = 1) -> Any:
    """What each of ``parts`` ``[p.., v.., d]`` contributed to ``whole`` ``[v.., d]``: ``[p.., v..]``."""
    return _native.contributions(whole, parts, norm=distance_norm)


def get_contributions_with_one_off_part(
    parts: Any, one_off: Any, whole: Any, distance_norm: float = 1
) -> tuple[Any, Any]:
    """The same with one more part ``one_off`` ``[v.., d]``: ``[p.., v..]`` and ``[v..]``."""
    of_parts, of_one_off = _native.contributions(whole, parts, one_off, norm=distance_norm)
    return of_parts, of_one_off


def get_attention_contributions(
    resid_pre: Any, resid_mid: Any, decomposed_attn: Any, distance_norm: float = 1
) -> tuple[Any, Any]:
    """Attention and the stream before it, from ``decomposed_attn`` ``[batch, pos, key_pos, head, d_model]``:
    ``[batch, pos, key_pos, head]`` and ``[batch, pos]``."""
    attn, resid = _native.attention(resid_pre, resid_mid, decomposed_attn, norm=distance_norm)
    return attn, resid


def get_mlp_contributions(
    resid_mid: Any, resid_post: Any, mlp_out: Any, distance_norm: float = 1
) -> tuple[Any, Any]:
    """The MLP and the stream before it, each ``[batch, pos, d_model]``: twice ``[batch, pos]``."""
    return _native.mlp(resid_mid, resid_post, mlp_out, norm=distance_norm)


def get_decomposed_mlp_contributions(
    resid_mid: Any, resid_post: Any, decomposed_mlp_out: Any, distance_norm: float = 1
) -> tuple[Any, Any]:
    """Each neuron and the stream before the MLP, from ``decomposed_mlp_out`` ``[hidden, d_model]``: ``[hidden]`` and a scalar."""
    neurons, resid = _native.neurons(resid_mid, resid_post, decomposed_mlp_out, norm=distance_norm)
    return neurons, resid


def apply_threshold_and_renormalize(threshold: float, c_blocks: Any, c_residual: Any) -> tuple[Any, Any]:
    """Keeps contributions that are greater than ``threshold``, and makes each representation sum to 1 again."""
    return _native.threshold_and_renormalise(c_blocks, c_residual, threshold)
