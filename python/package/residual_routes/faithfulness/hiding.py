"""Hides tokens from all later ones, in every layer of a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from .._errors import Error

SOFTMAX = (functional.softmax, torch.softmax, torch.Tensor.softmax)


class Hiding(TorchFunctionMode):
    """While it is entered, queries do not see hidden tokens before their own position: their scores become minus infinity.

    That is done where a model calculates its pattern, in `softmax` or in `scaled_dot_product_attention`, so that its own windows, soft caps,
    sinks and slopes stay what they are.

    `attentions`: the modules within which patterns are calculated. `hidden`: `[batch, n_pos]`, bool.
    """

    def __init__(self, attentions: Iterable[Any], hidden: torch.Tensor) -> None:
        super().__init__()
        self.attentions, self.hidden = list(attentions), hidden
        self.running: list[Any] = []
        self.done: list[Any] = []

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Enters it for one pass. An error where an attention module did not calculate one pattern."""
        handles = []
        for module in self.attentions:
            handles.append(module.register_forward_pre_hook(self.entered))
            handles.append(module.register_forward_hook(self.left, always_call=True))
        try:
            with self:
                yield
        finally:
            for handle in handles:
                handle.remove()
        if self.done != self.attentions:
            message = "model: expected one that calculates one pattern in each layer, in softmax or scaled_dot_product_attention"
            raise Error(message, "unlike", "model")

    def entered(self, module: Any, *_: Any) -> None:
        self.running.append(module)

    def left(self, *_: Any) -> None:
        self.running.pop()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if self.running:
            if function in SOFTMAX:
                scores, *rest = args if args else (kwargs.pop("input"),)
                return function(self.scores(scores), *rest, **kwargs)
            if function is functional.scaled_dot_product_attention:
                return self.attention(*args, **kwargs)
        return function(*args, **kwargs)

    def blocked(self, n_queries: int) -> torch.Tensor:
        """`[batch, 1, query, n_pos]`: what the last so many positions may not see because it is hidden."""
        self.done.append(self.running[-1])
        positions = torch.arange(self.hidden.shape[1], device=self.hidden.device)
        queries = positions[len(positions) - n_queries :, None]
        return self.hidden[:, None, None, :] & (positions < queries)

    def scores(self, scores: torch.Tensor) -> torch.Tensor:
        """Scores `[batch, head, query, n_pos]`, or with a sink after the last key."""
        blocked = self.blocked(scores.shape[-2])
        sinks = scores.shape[-1] - blocked.shape[-1]
        if scores.dim() != 4 or len(scores) != len(blocked) or sinks not in (0, 1):
            raise Error(f"model: expected scores [batch, head, query, key], got {list(scores.shape)}", "unlike", "model")
        return scores.masked_fill(functional.pad(blocked, (0, sinks)), -torch.inf)

    def attention(
        self,
        query: Any,
        key: Any,
        value: Any,
        attn_mask: Any = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **more: Any,
    ) -> Any:
        """PyTorch's function, with a mask that has what is hidden."""
        blocked = self.blocked(query.shape[-2])
        if attn_mask is None:
            attn_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device)
            if is_causal:
                attn_mask = attn_mask.tril()
        if attn_mask.dtype == torch.bool:
            attn_mask = attn_mask & ~blocked
        else:
            attn_mask = torch.where(blocked, -torch.inf, attn_mask)
        return functional.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, **more)
