"""Records a model of Hugging Face's transformers."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal

from ._errors import Error
from ._recording import Recording


def record(
    model: Any,
    prompt: Any,
    out: str | os.PathLike[str] | None = None,
    *,
    tokenizer: Any = None,
    name: str | None = None,
    dtype: Literal["f32", "f16", "bf16"] = "f32",
    with_pattern: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> Recording:
    """Runs a causal model of Hugging Face's transformers over a prompt, and records what routes need.

    ``prompt``: a text, for which a ``tokenizer`` is needed, or the numbers of tokens: a list, or a tensor ``[pos]`` or ``[1, pos]``.
    ``out``: a file to record into, layer by layer, so that a long prompt needs little memory. Without one the recording is in memory.
    ``tokenizer``: for the texts of tokens. ``name``: the name of the model; its own, unless given. ``dtype``: of queries, keys, values and
    ``w_o``; the stream is float32. ``with_pattern``: the pattern too, which takes ``pos * pos`` numbers for each head. ``progress``: a
    function that is called with how many layers are done, and how many there are.

    How a model is built is found out by watching it, not by its name. Parts are added up while they are recorded: a model that does
    what the recorder does not know raises :class:`Refused`, and no wrong recording is made. One recording at a time in a process.

    Needs the extra ``hf``.
    """
    from . import recorder

    text = None
    if isinstance(prompt, str):
        if tokenizer is None:
            raise Error("tokenizer: expected one for a prompt that is a text", "missing", "tokenizer")
        text, prompt = prompt, tokenizer(prompt).input_ids
    options: dict[str, Any] = {"tokenizer": tokenizer, "prompt": text, "name": name, "dtype": dtype, "with_pattern": with_pattern}
    if progress is not None:
        options["progress"] = progress
    if out is not None:
        recorder.record(model, prompt, out, **options)
        return Recording.open(out)
    kept = recorder.Kept()
    recorder.record(model, prompt, kept, **options)
    return Recording(kept.tensors, **kept.metadata)
