"""Records one forward pass of a Hugging Face causal model. `residual_routes.record` is its front; this needs PyTorch and transformers.

    python -m residual_routes.recorder --help

records from the command line."""

from .errors import Refused
from .kept import Kept
from .load import load
from .record import record

__all__ = ["Kept", "Refused", "load", "record"]
