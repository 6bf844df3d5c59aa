"""Recordings: one forward pass of a model over a prompt."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from . import _native
from ._errors import Error


class Recording:
    """One forward pass of a model over a prompt, in memory.

    ``tensors``: arrays of NumPy, PyTorch, or of whoever speaks DLPack, by these names, for each layer ``i``; nothing is copied:

    - ``resid_pre.i``, ``mlp_out.i``, and ``resid_mid.i`` unless blocks are parallel: ``[pos, d_model]``; ``resid_post``: of the last layer;
    - ``pattern.i``: ``[head, pos, key_pos]``, or ``queries.i``: ``[pos, head, d_head]`` and ``keys.i``: ``[key_pos, kv_head, d_head]``;
    - ``values.i``: ``[key_pos, kv_head, d_head]`` and ``w_o.i``: ``[head, d_head, d_model]``, or ``value_output.i``:
      ``[key_pos, head, d_model]``;
    - where they are parts of their own, ``attn_bias.i`` and ``mlp_bias.i``: ``[d_model]`` or ``[pos, d_model]``; where what attention adds is
      normalised, ``attn_scale.i``: ``[pos or 1, d_model or 1]``.

    ``metadata``, as keywords or as the strings of a safetensors file: ``tokens`` (a list of strings), ``next_tokens`` (a list of pairs of a
    string and its probability), ``model``, ``prompt``; of queries and keys ``scale``, ``soft_cap``, ``causal``, ``window`` (for all layers, or a
    list), ``slopes`` and ``sinks`` (``[head]`` for all layers, or a list); ``parallel``, whether blocks run attention and MLP in parallel.
    Others are not looked at.

    ``by_pattern``: whether the pattern or queries and keys are read where both are there; the pattern, unless given.

    The arrays must not be written to while routes are looked for.
    """

    def __init__(self, tensors: Mapping[str, Any], *, by_pattern: bool | None = None, **metadata: Any) -> None:
        tensors = dict(tensors)
        n_layers = _n_layers(tensors)
        facts = {key: _parsed(key, value) for key, value in metadata.items()}
        if by_pattern is None:
            by_pattern = "pattern.0" in tensors
        windows = _per_layer("window", facts.get("window"), n_layers)
        slopes = _per_layer("slopes", facts.get("slopes"), n_layers)
        sinks = _per_layer("sinks", facts.get("sinks"), n_layers)
        self._native = _native.Recording.of_arrays(
            tensors,
            SimpleNamespace(
                scale=facts.get("scale"),
                soft_cap=facts.get("soft_cap") or None,
                causal=bool(facts.get("causal", True)),
                parallel=bool(facts.get("parallel", False)),
                by_pattern=bool(by_pattern),
                layers=[
                    SimpleNamespace(window=window or None, slopes=_of_heads(slope), sinks=_of_heads(sink))
                    for window, slope, sink in zip(windows, slopes, sinks)
                ],
                model=facts.get("model"),
                prompt=facts.get("prompt"),
                tokens=list(facts.get("tokens") or ()),
                next_tokens=[(token, float(probability)) for token, probability in facts.get("next_tokens") or ()],
            ),
        )

        if self.tokens and len(self.tokens) != self.n_pos:
            raise Error(f"tokens: expected {self.n_pos} to match resid_pre.0, got {len(self.tokens)}", "metadata", "tokens")

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, by_pattern: bool | None = None) -> Recording:
        """A recording in a safetensors file, which is mapped into memory: of one that is larger than memory, only what a layer needs
        is read. The file must not change while the recording exists."""
        recording = cls.__new__(cls)
        recording._native = _native.Recording.open(os.fspath(path), by_pattern)
        return recording

    @classmethod
    def from_transformer_lens(
        cls, cache: Mapping[str, Any], model: Any, *, batch: int = 0, tokens: Sequence[str] | None = None
    ) -> Recording:
        """What a ``HookedTransformer`` left in its cache: ``logits, cache = model.run_with_cache(prompt)``. Of a cache with a batch axis,
        one item of it. A model that normalises what its blocks add (Gemma 2 and 3) is refused."""
        tensors: dict[str, Any] = {}
        parallel = bool(getattr(model.cfg, "parallel_attn_mlp", False))
        if getattr(model.cfg, "use_normalization_before_and_after", False):
            raise Error("model: expected one that adds what its blocks compute as it is", "unlike", "model")
        n_layers = int(model.cfg.n_layers)

        def item(name: str, ndim: int) -> Any:
            if name not in cache:
                raise Error(f"{name}: missing from the cache", "missing", name)
            array = cache[name]
            return array[batch] if len(array.shape) > ndim else array

        for layer in range(n_layers):
            block, attention = f"blocks.{layer}", model.blocks[layer].attn
            tensors[f"resid_pre.{layer}"] = item(f"{block}.hook_resid_pre", 2)
            if not parallel:
                tensors[f"resid_mid.{layer}"] = item(f"{block}.hook_resid_mid", 2)
            tensors[f"mlp_out.{layer}"] = item(f"{block}.hook_mlp_out", 2)
            tensors[f"pattern.{layer}"] = item(f"{block}.attn.hook_pattern", 3)
            tensors[f"values.{layer}"] = item(f"{block}.attn.hook_v", 3)
            tensors[f"w_o.{layer}"] = attention.W_O
            if getattr(attention, "b_O", None) is not None:
                tensors[f"attn_bias.{layer}"] = attention.b_O
        tensors["resid_post"] = item(f"blocks.{n_layers - 1}.hook_resid_post", 2)
        return cls(tensors, parallel=parallel, tokens=tokens, model=getattr(model.cfg, "model_name", None))

    @property
    def n_layers(self) -> int:
        """The number of layers of the model."""
        return self._native.n_layers

    @property
    def n_pos(self) -> int:
        """The number of tokens of the prompt."""
        return self._native.n_pos

    @property
    def n_heads(self) -> int:
        """The number of heads of a layer."""
        return self._native.n_heads

    @property
    def tokens(self) -> list[str]:
        """The texts of the prompt's tokens; empty where they are not known."""
        return self._native.tokens

    @property
    def next_tokens(self) -> list[tuple[str, float]]:
        """What the model predicts after the prompt, with probabilities."""
        return self._native.next_tokens

    @property
    def model(self) -> str | None:
        """The name of the model."""
        return self._native.model

    @property
    def prompt(self) -> str | None:
        """The text of the prompt."""
        return self._native.prompt

    def __repr__(self) -> str:
        return f"Recording(model={self.model!r}, n_layers={self.n_layers}, n_pos={self.n_pos}, n_heads={self.n_heads})"


def _n_layers(tensors: Mapping[str, Any]) -> int:
    layers = [int(match[1]) for name in tensors if (match := re.fullmatch(r"resid_pre\.(\d+)", name))]
    if not layers:
        raise Error("resid_pre.0: missing", "missing", "resid_pre.0")
    return max(layers) + 1


def _parsed(key: str, value: Any) -> Any:
    """A metadatum, which in a safetensors file is the JSON text of what it is."""
    if not isinstance(value, str) or key in ("model", "prompt"):
        return value
    try:
        return json.loads(value.lower() if value.lower() in ("true", "false") else value)
    except ValueError:
        return value


def _of_heads(numbers: Any) -> Any:
    """Numbers that are a list are float32, as those of a file are."""
    return np.asarray(numbers, np.float32) if isinstance(numbers, (list, tuple)) else numbers


def _per_layer(key: str, value: Any, n_layers: int) -> list[Any]:
    """What is given for all layers, or for each."""
    is_list = isinstance(value, (list, tuple))
    is_one_array = is_list and key != "window" and all(isinstance(number, (int, float)) for number in value)
    if not is_list or is_one_array:
        return [value] * n_layers
    if len(value) != n_layers:
        raise Error(f"{key}: expected one for all layers, or one for each of {n_layers}, got {len(value)}", "metadata", key)
    return list(value)
