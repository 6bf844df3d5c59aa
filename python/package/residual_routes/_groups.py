"""Groups of parts, as :func:`residual_routes.group_contributions` takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """Queries and keys in the place of coefficients. The shapes, for parts ``[p.., v.., d]`` whose last part axis has the keys:

    ``queries``: ``[p.., v.., d]``, of which the last of ``p..`` is 1; ``keys``: ``[p.., v.., d]``; ``slopes`` and ``sinks``: ``p..`` but for the
    last; ``mask``: ``[p.., v..]``; ``query_positions``: ``v..``; ``key_positions``: ``[k, v..]``. Any extent may be 1 where it is the same for all.
    """

    queries: Any
    keys: Any
    score_scale: float | None = None
    soft_cap: float | None = None
    slopes: Any = None
    sinks: Any = None
    mask: Any = None
    causal: bool = True
    window: int | None = None
    first_query: int | None = None
    query_positions: Any = None
    key_positions: Any = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """A group of parts of a whole ``[v.., d]``, with part axes ``p..`` of its own, and which of its contributions are wanted.

    The parts are one of

    - ``parts``: ``[p.., v.., d]``, the vectors themselves;
    - ``coefficients`` (``[p.., v..]`` or :class:`Scores`) times ``directions`` (``[p.., v.., d]``);
    - ``coefficients`` times ``values`` (``[p.., v.., r]``) through ``projection`` (``[p.., r, d]``, or a ``PreparedProjection`` of it).

    Any extent of directions and values may be 1 where all share the same. ``scale``: ``[v.., d]``, by what each channel of the parts is
    multiplied. ``leave_out_zeros``: whether parts whose coefficient is 0 are left out instead of counted as zero vectors.

    What is wanted: all contributions ``[p.., v..]``; sums over the first ``summed_axes`` part axes; with ``top=k`` the ``k`` largest, a
    :class:`Top` of ``[v.., k]``; with ``above=t`` those greater than ``t``, a :class:`Sparse` of ``[v.., room]``.
    """

    parts: Any = None
    coefficients: Any = None
    directions: Any = None
    values: Any = None
    projection: Any = None
    scale: Any = None
    leave_out_zeros: bool = False
    summed_axes: int = 0
    top: int | None = None
    above: float | None = None
    room: int | None = None
