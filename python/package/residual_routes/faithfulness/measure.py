"""Rankings of a prompt's tokens, compared by what hiding the strongest does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from .._errors import Error
from .._recording import Recording
from .._routes import Routes, routes
from ..recorder import Kept
from ..recorder import record as record_into
from .falls import Falls
from .ranks import rank_correlation, strongest
from .scores import attention_rollout, gradient_times_input, mean_attention, random_scores

Array = npt.NDArray[np.float64]
BEST = "best possible"


@dataclass(frozen=True)
class OfRanking:
    """What a ranking of the tokens is worth."""

    tokens: tuple[int, ...]
    """The positions of the strongest tokens, the strongest first. Of the best possible: those that are hidden together."""
    falls: dict[int, float]
    """By how many nats the prediction's log-probability falls where so many of the strongest are hidden together."""
    rank_correlation: float
    """Spearman's, of the scores with the falls for each token alone. NaN where all scores are equal."""


@dataclass(frozen=True)
class Faithfulness:
    """How much of a prediction depends on the tokens that rankings put first."""

    prediction: int
    """The token that is predicted."""
    log_probability: float
    """The logarithm of its probability where nothing is hidden."""
    single_falls: Array
    """`[pos - 1]`: the fall where one token is hidden; the last token cannot be."""
    rankings: dict[str, OfRanking]
    """By the names of rankings."""

    def __str__(self) -> str:
        counts = list(next(iter(self.rankings.values())).falls)
        width = max(len(name) for name in self.rankings)
        lines = [f"{'':{width}}" + "".join(f"{f'top {count}':>9}" for count in counts) + "    ranks"]
        for name, ranking in self.rankings.items():
            falls = "".join(f"{ranking.falls[count]:9.2f}" for count in counts)
            lines.append(f"{name:{width}}{falls}{ranking.rank_correlation:9.2f}")
        return "\n".join(lines)


def faithfulness(
    model: Any,
    ids: Any,
    scores: Any = None,
    *,
    prediction: int | None = None,
    top: Sequence[int] = (1, 3, 5),
    baselines: bool = True,
    candidates: int = 6,
    batch: int = 16,
    seed: int = 0,
    **options: Any,
) -> Faithfulness:
    """Hides the tokens that a ranking puts first from all later tokens, and says how far the log-probability of the prediction falls.

    ``model``: a causal model of Hugging Face's transformers that :func:`residual_routes.record` records. ``ids``: the numbers of the prompt's
    tokens, two or more: a list, or a tensor ``[pos]`` or ``[1, pos]``.

    ``scores``: what is ranked: :class:`Routes` to the last token, whose tokens are ranked by the flow that arrives at their embeddings; or
    an array ``[pos]``; or a mapping of names to these. Routes with the further ``options`` of :func:`residual_routes.routes`, unless given.
    ``prediction``: the number of the token that is predicted; the most probable one, unless given. ``top``: of how many tokens the
    falls are measured.

    ``baselines``: adds mean attention, attention rollout, gradient times input, random scores (by ``seed``), and the best possible, which is
    the greatest fall among the sets of all rankings and the sets of as many out of the ``candidates`` tokens with the greatest falls
    alone. With as many candidates as tokens it is exact, and takes as many passes as there are sets. ``batch``: passes that run together.

    The last token is left out: none comes after it. Hidden is what a token is to later ones, at every layer; its own position stays as
    it is. Takes a pass for each token and each set.
    """
    falls = Falls(model, ids, prediction=prediction, batch=batch)
    n_sources = falls.n_pos - 1
    if not top or any(not 1 <= count <= n_sources for count in top):
        raise Error(f"top: expected numbers from 1 to {n_sources}, got {list(top)}", "number", "top")
    given = _given(scores, falls.n_pos)
    if not given or baselines:
        kept = Kept()
        record_into(model, falls.ids, kept, with_pattern=baselines)
        if not given:
            found = routes(Recording(kept.tensors, by_pattern=False, **kept.metadata), **options)
            given = {"routes": found.totals.tokens}
        if baselines:
            patterns = [kept.tensors[f"pattern.{layer}"] for layer in range(len(falls.attentions))]
            given["mean attention"] = mean_attention(patterns)
            given["attention rollout"] = attention_rollout(patterns)
            given["gradient times input"] = gradient_times_input(model, falls.ids, falls.prediction)
            given["random"] = random_scores(falls.n_pos, seed)
    singles = np.array(falls.singles())
    rankings = {name: _ranking(falls, np.asarray(of_tokens)[:n_sources], singles, top) for name, of_tokens in given.items()}
    if baselines:
        rankings[BEST] = _best(falls, singles, top, candidates)
    return Faithfulness(falls.prediction, falls.log_probability, singles, rankings)


def _given(scores: Any, n_pos: int) -> dict[str, Array]:
    if scores is None:
        return {}
    if not isinstance(scores, Mapping):
        scores = {"routes" if isinstance(scores, Routes) else "scores": scores}
    given = {}
    for name, of_tokens in scores.items():
        array = np.asarray(of_tokens.totals.tokens if isinstance(of_tokens, Routes) else of_tokens, np.float64)
        if array.shape != (n_pos,):
            raise Error(f"scores: expected [{n_pos}] for {name!r}, got {list(array.shape)}", "shape", "scores")
        given[str(name)] = array
    return given


def _ranking(falls: Falls, scores: Array, singles: Array, top: Sequence[int]) -> OfRanking:
    order = strongest(scores, max(top))
    of_sets = falls.of(order[:count] for count in top)
    return OfRanking(tuple(order), dict(zip(top, of_sets)), rank_correlation(scores, singles))


def _best(falls: Falls, singles: Array, top: Sequence[int], candidates: int) -> OfRanking:
    """Of the sets that were hidden already, and of those of the strongest alone."""
    best: dict[int, float] = {}
    tokens: tuple[int, ...] = ()
    for count in top:
        falls.of(combinations(strongest(singles, max(candidates, count)), count))
        of_count = {hidden: fall for hidden, fall in falls.known.items() if len(hidden) == count}
        found = max(of_count, key=lambda hidden: of_count[hidden])
        best[count] = of_count[found]
        if count == max(top):
            tokens = tuple(sorted(found, key=lambda position: -singles[position] if position < len(singles) else 0.0))
    return OfRanking(tokens, best, rank_correlation(singles, singles))
