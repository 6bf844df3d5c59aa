"""Tokens in the order of their scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def strongest(scores: Any, count: int) -> list[int]:
    """The positions of the greatest scores, the greatest first; of equal ones the later first."""
    scores = np.asarray(scores, np.float64)
    order = np.lexsort((-np.arange(len(scores)), -scores))
    return [int(position) for position in order[:count]]


def rank_correlation(one: Any, other: Any) -> float:
    """Spearman's: the correlation of the ranks, where equal numbers share their mean rank. NaN where all numbers are equal."""
    one, other = _ranks(one), _ranks(other)
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / size if size > 0 else float("nan")


def _ranks(numbers: Any) -> npt.NDArray[np.float64]:
    _, places, counts = np.unique(np.asarray(numbers, np.float64), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: npt.NDArray[np.float64] = last - (counts - 1) / 2
    return means[places]
