"""A model and its tokenizer, by the name of a repository, a folder, or a GGUF file."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def load(name, dtype=torch.float32):
    """The model in `dtype`, ready to run, and its tokenizer. A GGUF file's weights are dequantised."""
    path = Path(name)
    where, options = name, {}
    if path.suffix == ".gguf":
        where, options = str(path.parent), {"gguf_file": path.name}
    tokenizer = AutoTokenizer.from_pretrained(where, **options)
    model = AutoModelForCausalLM.from_pretrained(where, dtype=dtype, **options)
    return model.eval(), tokenizer
