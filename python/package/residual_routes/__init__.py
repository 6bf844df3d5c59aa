"""Where a transformer's prediction came from: contributions to the residual stream, and the routes to a prediction."""

from ._errors import Error, OutOfMemory, UnsupportedArray
from ._groups import Group, Scores
from ._native import (
    Context,
    PreparedProjection,
    attention,
    contributions,
    group_contributions,
    mlp,
    neurons,
    threshold_and_renormalise,
)
from ._results import Sparse, Top

__all__ = [
    "Context",
    "Error",
    "Group",
    "OutOfMemory",
    "PreparedProjection",
    "Scores",
    "Sparse",
    "Top",
    "UnsupportedArray",
    "attention",
    "contributions",
    "group_contributions",
    "mlp",
    "neurons",
    "threshold_and_renormalise",
]
