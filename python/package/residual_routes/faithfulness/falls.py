"""How far a prediction falls when tokens are hidden."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from .._errors import Error
from ..recorder.record import TOKENS_TO_EXPLORE
from ..recorder.structure import explore
from .hiding import Hiding


class Falls:
    """The falls of the log-probability of one prediction, in nats, each calculated once.

    `model`: a causal model of Hugging Face's transformers. `ids`: the numbers of the prompt's tokens. `prediction`: the number of the token
    that is predicted after them; the most probable one, unless given. `batch`: how many passes run together.
    """

    def __init__(self, model: Any, ids: Any, *, prediction: int | None = None, batch: int = 16) -> None:
        self.model, self.batch = model, batch
        self.ids = torch.as_tensor(ids).reshape(1, -1).to(model.device)
        if self.n_pos < 2:
            raise Error("ids: expected two tokens or more", "shape", "ids")
        plan = explore(model, self.ids[:, :TOKENS_TO_EXPLORE])
        self.attentions = [block.attention for block in plan.blocks]
        self.by_rows = plan.by_rows
        self.known: dict[frozenset[int], float] = {}
        """The falls that were calculated, by the positions that were hidden."""
        with torch.no_grad(), self.plain_attention():
            whole = self.log_probabilities([frozenset()])[0]
        self.prediction = int(whole.argmax()) if prediction is None else int(prediction)
        """The token that is predicted."""
        self.log_probability = float(whole[self.prediction])
        """The logarithm of its probability where nothing is hidden."""

    @property
    def n_pos(self) -> int:
        """The number of tokens of the prompt."""
        return int(self.ids.shape[1])

    def of(self, sets: Iterable[Collection[int]]) -> list[float]:
        """The fall for each set of positions that are hidden together."""
        wanted = [frozenset(int(position) for position in hidden) for hidden in sets]
        for hidden in wanted:
            if any(not 0 <= position < self.n_pos for position in hidden):
                raise Error(f"sets: expected positions from 0 to {self.n_pos - 1}, got {sorted(hidden)}", "target", "sets")
        missing = sorted(set(wanted) - self.known.keys(), key=lambda hidden: (min(hidden, default=0), sorted(hidden)))
        with torch.no_grad(), self.plain_attention():
            for first in range(0, len(missing), self.batch):
                together = missing[first : first + self.batch]
                for hidden, row in zip(together, self.log_probabilities(together)):
                    self.known[hidden] = self.log_probability - float(row[self.prediction])
        return [self.known[hidden] for hidden in wanted]

    def singles(self) -> list[float]:
        """The fall for each token but the last, after which nothing comes that it could be hidden from."""
        return self.of([position] for position in range(self.n_pos - 1))

    @contextmanager
    def plain_attention(self) -> Iterator[None]:
        """Has the model evaluate, with attention that calls what `Hiding` knows."""
        before, was_training = self.model.config._attn_implementation, self.model.training
        keeps = before == "eager" or (before == "sdpa" and not self.by_rows) or not self.model._can_set_attn_implementation()
        self.model.eval()
        if not keeps:
            self.model.set_attn_implementation("eager")
        try:
            yield
        finally:
            if not keeps:
                self.model.set_attn_implementation(before)
            self.model.train(was_training)

    def log_probabilities(self, sets: Sequence[frozenset[int]]) -> torch.Tensor:
        """`[set, vocabulary]`: of what comes after the prompt."""
        hidden = torch.zeros(len(sets), self.n_pos, dtype=torch.bool)
        for row, positions in zip(hidden, sets):
            row[list(positions)] = True
        hidden = hidden.to(self.ids.device)
        # A token is hidden from later ones alone, so that all positions up to the first hidden one are calculated once.
        shared = min(min(positions, default=0) for positions in sets) + 1
        options: dict[str, Any] = {"use_cache": False}
        if len(sets) > 1 and (cache := self.cache_of(shared)) is not None:
            cache.batch_repeat_interleave(len(sets))
            options = {"use_cache": True, self.named_cache(): cache}
        else:
            shared = 0
        if "logits_to_keep" in inspect.signature(self.model.forward).parameters:
            options["logits_to_keep"] = 1
        with Hiding(self.attentions, hidden).attached():
            logits = self.model(input_ids=self.ids[:, shared:].expand(len(sets), -1), **options).logits[:, -1]
        return torch.log_softmax(logits.float(), dim=-1)

    def named_cache(self) -> str:
        """What transformers calls the cache; older versions have another name for it."""
        return "cache" if "cache" in inspect.signature(self.model.forward).parameters else "past_key_values"

    def cache_of(self, n_pos: int) -> Any:
        """The keys and values of the first positions, where the model has a cache that keeps all of them."""
        cache = self.model(input_ids=self.ids[:, :n_pos], use_cache=True).get(self.named_cache())
        layers = getattr(cache, "layers", None)
        if not layers or any(type(layer).__name__ != "DynamicLayer" or layer.keys.shape[-2] != n_pos for layer in layers):
            return None
        return cache
