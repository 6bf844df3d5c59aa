"""Results that are more than one array."""

from __future__ import annotations

from typing import Any, NamedTuple


class Top(NamedTuple):
    """The ``k`` largest contributions to each whole, the largest first."""

    contributions: Any
    """``[v.., k]``"""
    indices: Any
    """``[v.., k]``, int64: which parts they are. For attention ``key_pos * n_heads + head``; with ``sum_heads`` the key."""


class Sparse(NamedTuple):
    """The contributions to each whole that are greater than a number, in the order of their parts."""

    contributions: Any
    """``[v.., room]``; zeros where there are fewer."""
    indices: Any
    """``[v.., room]``, int64: which parts they are, and -1 where there is none. For attention ``key_pos * n_heads + head``."""
    counts: Any
    """``[v..]``, int64: how many are greater, whether there was room for them or not."""
    left_out: Any
    """``[v..]``: the sum of all others."""
