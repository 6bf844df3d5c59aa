"""Records one forward pass of a Hugging Face causal model: what contrib-routes reads.

    from contrib_record import load, record

    model, tokenizer = load("HuggingFaceTB/SmolLM2-135M")
    record(model, tokenizer("The capital of France is").input_ids, "capital.safetensors", tokenizer=tokenizer)
"""

from .errors import Refused
from .load import load
from .record import record

__all__ = ["Refused", "load", "record"]
