"""Scores of a prompt's tokens that routes are compared with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .._routes import EdgeKind, Routes

Array = npt.NDArray[np.float64]


def mean_attention(patterns: Iterable[Any]) -> Array:
    """How much the last token attends to each, the mean over layers and heads. `patterns`: `[head, pos, key_pos]` of each layer."""
    mean: Array = np.mean([np.asarray(pattern, np.float64)[:, -1].mean(axis=0) for pattern in patterns], axis=0)
    return mean


def attention_rollout(patterns: Iterable[Any]) -> Array:
    """Abnar and Zuidema's rollout: the product over layers of half the heads' mean pattern and half the identity; its last row."""
    row: Array | None = None
    for pattern in reversed(list(patterns)):
        mean = np.asarray(pattern, np.float64).mean(axis=0)
        step = (mean + np.eye(len(mean))) / 2
        row = step[-1] if row is None else row @ step
    if row is None:
        raise ValueError("patterns: expected those of one layer or more")
    return row


def gradient_times_input(model: Any, ids: Any, prediction: int) -> Array:
    """The size of the product of each token's embedding with the gradient of the prediction's log-probability there."""
    ids = torch.as_tensor(ids).reshape(1, -1).to(model.device)
    with torch.no_grad():
        embeddings = model.get_input_embeddings()(ids)
    embeddings.requires_grad_()
    with torch.enable_grad():
        logits = model(inputs_embeds=embeddings, use_cache=False).logits[0, -1]
        (gradient,) = torch.autograd.grad(torch.log_softmax(logits.float(), dim=-1)[prediction], embeddings)
    products: Array = (gradient * embeddings.detach()).sum(dim=-1)[0].double().cpu().numpy()
    return np.abs(products)


def random_scores(n_pos: int, seed: int) -> Array:
    """Scores that say nothing."""
    return np.random.default_rng(seed).random(n_pos)


def moved_by_attention(found: Routes) -> Array:
    """How much flow attention moves from each token to others, the sum over all layers. What a token gets from others, and what is moved
    again, is counted at each step."""
    edges, position = found.edges, found.nodes["position"]
    source = position[edges["from"]]
    moves = (edges["kind"] == EdgeKind.ATTENTION) & (source != position[edges["to"]])
    # With weights they are sums of float64, which NumPy's types do not say.
    return np.bincount(source[moves], edges["flow"][moves], minlength=found.n_pos).astype(np.float64, copy=False)
