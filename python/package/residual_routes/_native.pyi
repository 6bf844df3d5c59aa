from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, Literal, TypeVar, final, overload

import numpy as np

from ._groups import Group
from ._results import Sparse, Top

__all__ = [
    "Context",
    "Graph",
    "PreparedProjection",
    "Recording",
    "Totals",
    "attention",
    "contributions",
    "group_contributions",
    "mlp",
    "neurons",
    "threshold_and_renormalise",
]

# An array of NumPy, PyTorch, or of whoever speaks DLPack. Results are of the kind of the whole.
_Array = TypeVar("_Array")

@final
class Context:
    def __new__(
        cls,
        threads: int = 0,
        *,
        instruction_set: Literal["portable", "avx2", "avx512"] | None = None,
        kept_memory: int | None = None,
    ) -> Context: ...
    @property
    def threads(self) -> int: ...
    @property
    def instruction_set(self) -> str: ...
    @property
    def kept_memory(self) -> int: ...
    def limit_kept_memory(self, bytes: int) -> None: ...
    def release_memory(self) -> None: ...

@final
class PreparedProjection:
    def __new__(cls, projection: Any, *, context: Context | None = None) -> PreparedProjection: ...
    @property
    def shape(self) -> tuple[int, ...]: ...

@overload
def contributions(
    whole: _Array,
    parts: Any,
    one_off: None = None,
    *,
    norm: float = 1.0,
    threshold: float = 0.0,
    context: Context | None = None,
    out: Any = None,
) -> _Array: ...
@overload
def contributions(
    whole: _Array,
    parts: Any,
    one_off: Any,
    *,
    norm: float = 1.0,
    threshold: float = 0.0,
    context: Context | None = None,
    out: Any = None,
) -> tuple[_Array, _Array]: ...
def attention(
    resid_pre: Any,
    resid_mid: _Array,
    decomposed_attn: Any = None,
    *,
    pattern: Any = None,
    queries: Any = None,
    keys: Any = None,
    values: Any = None,
    w_o: Any = None,
    value_output: Any = None,
    scale: Any = None,
    one_offs: Sequence[Any] | None = None,
    leave_out_masked: bool = False,
    sum_heads: bool = False,
    top: int | None = None,
    above: float | None = None,
    room: int | None = None,
    score_scale: float | None = None,
    soft_cap: float | None = None,
    slopes: Any = None,
    sinks: Any = None,
    mask: Any = None,
    causal: bool = True,
    window: int | None = None,
    first_query: int | None = None,
    query_positions: Any = None,
    key_positions: Any = None,
    norm: float = 1.0,
    threshold: float = 0.0,
    context: Context | None = None,
    out: Any = None,
) -> tuple[Any, ...]: ...
def mlp(
    resid_mid: Any,
    resid_post: _Array,
    mlp_out: Any,
    *,
    norm: float = 1.0,
    threshold: float = 0.0,
    context: Context | None = None,
    out: Any = None,
) -> tuple[_Array, _Array]: ...
@overload
def neurons(
    resid_mid: Any,
    resid_post: _Array,
    decomposed_mlp_out: Any = None,
    *,
    activations: Any = None,
    w_out: Any = None,
    top: None = None,
    above: None = None,
    room: None = None,
    norm: float = 1.0,
    threshold: float = 0.0,
    context: Context | None = None,
    out: Any = None,
) -> tuple[_Array, _Array]: ...
@overload
def neurons(
    resid_mid: Any,
    resid_post: _Array,
    decomposed_mlp_out: None = None,
    *,
    activations: Any,
    w_out: Any,
    top: int,
    above: None = None,
    room: None = None,
    norm: float = 1.0,
    threshold: float = 0.0,
    context: Context | None = None,
    out: Any = None,
) -> tuple[Top, _Array]: ...
@overload
def neurons(
    resid_mid: Any,
    resid_post: _Array,
    decomposed_mlp_out: None = None,
    *,
    activations: Any,
    w_out: Any,
    top: None = None,
    above: float,
    room: int | None = None,
    norm: float = 1.0,
    threshold: float = 0.0,
    context: Context | None = None,
    out: Any = None,
) -> tuple[Sparse, _Array]: ...
def group_contributions(
    whole: Any,
    groups: Sequence[Any | Group],
    *,
    norm: float = 1.0,
    threshold: float = 0.0,
    context: Context | None = None,
    out: Sequence[Any] | None = None,
) -> list[Any]: ...
def threshold_and_renormalise(
    c_blocks: _Array, c_residual: Any, threshold: float, *, context: Context | None = None, out: Any = None
) -> tuple[_Array, _Array]: ...

@final
class Totals:
    @property
    def heads(self) -> np.ndarray[Any, Any] | None: ...
    @property
    def attention(self) -> np.ndarray[Any, Any]: ...
    @property
    def mlps(self) -> np.ndarray[Any, Any]: ...
    @property
    def biases(self) -> np.ndarray[Any, Any]: ...
    @property
    def residual(self) -> np.ndarray[Any, Any]: ...
    @property
    def tokens(self) -> np.ndarray[Any, Any]: ...
    @property
    def lost(self) -> float: ...
    @property
    def targets(self) -> int: ...
    def __add__(self, other: Totals, /) -> Totals: ...
    def __radd__(self, other: Totals, /) -> Totals: ...

@final
class Recording:
    @staticmethod
    def open(path: str, by_pattern: bool | None) -> Recording: ...
    @staticmethod
    def of_arrays(tensors: dict[str, Any], facts: SimpleNamespace) -> Recording: ...
    @property
    def n_layers(self) -> int: ...
    @property
    def n_pos(self) -> int: ...
    @property
    def n_heads(self) -> int: ...
    @property
    def model(self) -> str | None: ...
    @property
    def prompt(self) -> str | None: ...
    @property
    def tokens(self) -> list[str]: ...
    @property
    def next_tokens(self) -> list[tuple[str, float]]: ...
    def routes(
        self,
        targets: list[int] | None,
        threshold: float,
        renormalise: float | None,
        heads_are_summed: bool,
        masked_keys_count: bool,
        all_is_computed: bool,
        norm: float,
        context: Context | None,
        block: int | None,
        progress: Callable[..., object] | None,
    ) -> Graph: ...

@final
class Graph:
    @property
    def n_layers(self) -> int: ...
    @property
    def n_pos(self) -> int: ...
    @property
    def n_heads(self) -> int: ...
    @property
    def n_nodes(self) -> int: ...
    @property
    def n_edges(self) -> int: ...
    @property
    def heads(self) -> str: ...
    @property
    def threshold(self) -> float: ...
    @property
    def targets(self) -> list[int]: ...
    @property
    def tokens(self) -> list[str]: ...
    def nodes(self) -> bytes: ...
    def edges(self) -> bytes: ...
    def starts(self) -> list[int]: ...
    def totals(self) -> Totals: ...
    def routes_to(self, targets: list[int] | None, threshold: float) -> Graph: ...
    def difference(self, other: Graph, tolerance: float) -> bytes: ...
    def write(self, format: str) -> bytes: ...
