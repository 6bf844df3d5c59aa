"""Where a transformer's prediction came from: contributions to the residual stream, and the routes to a prediction."""

from ._errors import Error, OutOfMemory, Refused, UnsupportedArray
from ._groups import Group, Scores
from ._native import (
    Context,
    PreparedProjection,
    Totals,
    attention,
    contributions,
    group_contributions,
    mlp,
    neurons,
    threshold_and_renormalise,
)
from ._progress import Progress
from ._record import record
from ._recording import Recording
from ._results import Sparse, Top
from ._routes import EdgeKind, NodeKind, Routes, routes

__all__ = [
    "Context",
    "EdgeKind",
    "Error",
    "Group",
    "NodeKind",
    "OutOfMemory",
    "PreparedProjection",
    "Progress",
    "Recording",
    "Refused",
    "Routes",
    "Scores",
    "Sparse",
    "Top",
    "Totals",
    "UnsupportedArray",
    "attention",
    "contributions",
    "group_contributions",
    "mlp",
    "neurons",
    "record",
    "routes",
    "threshold_and_renormalise",
]
