"""The exceptions of this package."""

from __future__ import annotations

from typing import Any


class Error(ValueError):
    """An argument that cannot be. Nothing was computed, and no output was written.

    ``status`` says what is wrong with it, in the words of the C API's statuses: ``"shape"``, ``"rank"``, ``"dtype"``, ``"device"``, ``"layout"``,
    ``"strides"``, ``"byte_order"``, ``"read_only"``, ``"misaligned"``, ``"overlap"``, ``"self_overlap"``, ``"heads"``, ``"top_k"``, ``"norm"``,
    ``"threshold"``, ``"number"``, ``"prepared"``, ``"missing"``, ``"conflict"``, ``"too_large"``, ``"too_many_threads"``; of recordings and routes
    ``"header"``, ``"metadata"``, ``"not_finite"``, ``"target"``, ``"unlike"``, ``"refused"``.

    ``argument`` is the name of the argument, or of the tensor of a recording, such as ``"resid_mid.3"``.
    """

    status: str
    argument: str

    def __init__(self, message: str, status: str = "", argument: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.argument = argument

    def __reduce__(self) -> tuple[type[Error], tuple[Any, ...]]:
        return type(self), (str(self), self.status, self.argument)


class UnsupportedArray(Error, TypeError):
    """An array of a type, or on a device, that this package cannot read: ``status`` is ``"dtype"``, ``"device"``, or ``"layout"`` where it is no plain array, such as a sparse one."""


class Refused(Error):
    """A model that does something that a recording cannot say, or that the recorder does not know. The message says what."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "refused", "model")

    def __reduce__(self) -> tuple[type[Error], tuple[Any, ...]]:
        return type(self), (str(self),)


class OutOfMemory(Error, MemoryError):
    """Working memory that could not be allocated: ``status`` is ``"out_of_memory"``."""
