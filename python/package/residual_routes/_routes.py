"""The routes to a prediction."""

from __future__ import annotations

import html
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import _native
from ._errors import Error
from ._progress import Bar, Progress, callback
from ._recording import Recording

if TYPE_CHECKING:
    import networkx
    import pandas


class NodeKind(IntEnum):
    """What a node is: the field ``kind`` of ``Routes.nodes``."""

    RESID_POST = 0
    """The residual stream after the layer."""
    MLP_BIAS = 1
    """A part of its own that the MLP adds."""
    MLP = 2
    """The MLP."""
    RESID_MID = 3
    """The residual stream after attention."""
    ATTN_BIAS = 4
    """A part of its own that attention adds."""
    EMBEDDING = 5
    """The residual stream before the first layer."""


class EdgeKind(IntEnum):
    """What an edge is: the field ``kind`` of ``Routes.edges``."""

    RESIDUAL = 0
    """From the stream before to the stream after, at one position."""
    ATTENTION = 1
    """From the stream before attention to the stream after it."""
    MLP_INPUT = 2
    """From what the MLP reads to the MLP."""
    MLP_OUTPUT = 3
    """From the MLP to ``resid_post``. Both edges of an MLP have its contribution."""
    BIAS = 4
    """From a further part to its whole."""


NODE_DTYPE = np.dtype([("layer", "u4"), ("kind", "u1"), ("position", "u4"), ("flow", "f8")], align=True)
EDGE_DTYPE = np.dtype(
    [("from", "u4"), ("to", "u4"), ("kind", "u1"), ("head", "i4"), ("weight", "f8"), ("flow", "f8")], align=True
)
_ENDS = [(f"{end}_{field}", dtype) for end in ("from", "to") for field, dtype in (("layer", "u4"), ("kind", "u1"), ("position", "u4"))]
CHANGE_DTYPE = np.dtype(
    [
        *_ENDS,
        ("kind", "u1"),
        ("head", "i4"),
        ("weight_before", "f8"),
        ("flow_before", "f8"),
        ("weight_after", "f8"),
        ("flow_after", "f8"),
    ],
    align=True,
)

Targets = int | Iterable[int] | Literal["all"] | None


def routes(
    recording: Recording | str | os.PathLike[str] | Mapping[str, Any],
    *,
    targets: Targets = None,
    threshold: float = 0.04,
    renormalise: float | None = None,
    heads: Literal["each", "summed"] = "each",
    masked_keys: Literal["left_out", "counted"] = "left_out",
    extent: Literal["reached", "all"] = "reached",
    norm: float = 1,
    context: _native.Context | None = None,
    block: int | None = None,
    progress: bool | Callable[[Progress], object] = False,
) -> Routes:
    """Follows the routes to a prediction back through a recording: all edges that are reached backwards from the last layer's residual
    stream at the targets, over edges whose weight is greater than ``threshold``. Only what they reach is computed.

    ``recording``: a :class:`Recording`, the path of a safetensors file, or a mapping of names to arrays as :class:`Recording` takes it.
    ``targets``: a position, several, or ``"all"``; negative ones count from the end. The last position, unless given.

    ``renormalise``: contributions that are not greater than this number become 0 first, and the others are divided by what is left.
    ``heads``: whether each head has edges of its own, or all together one; then what they bring from their own position is added to the
    residual edge, as in the reference. ``masked_keys``: whether keys that a query may not see are left out, so that routes do not depend on
    later tokens, or counted as zero vectors, as in the reference. ``extent``: ``"all"`` computes all positions of all layers.
    ``block``: how many positions are computed in one call at most.

    ``progress``: a bar (of tqdm, where that is installed), or a function that is called with a :class:`Progress` now and then. What it
    raises, and Ctrl-C, end the search.
    """
    if not isinstance(recording, Recording):
        recording = Recording(recording) if isinstance(recording, Mapping) else Recording.open(recording)
    bar = Bar() if progress is True else None
    function = bar or progress or None
    is_done = False
    try:
        graph = recording._native.routes(
            _positions(targets),
            threshold,
            renormalise,
            _choice("heads", heads, "each", "summed"),
            _choice("masked_keys", masked_keys, "left_out", "counted"),
            _choice("extent", extent, "reached", "all"),
            norm,
            context,
            block,
            callback(function) if callable(function) else None,
        )
        is_done = True
    finally:
        if bar is not None:
            bar.close(is_done)
    return Routes(graph)


def _positions(targets: Targets) -> list[int] | None:
    if isinstance(targets, str):
        if targets != "all":
            raise Error(f'targets: expected positions or "all", got {targets!r}', "target", "targets")
        return None
    if targets is None:
        return [-1]
    if isinstance(targets, Iterable):
        return [int(target) for target in targets]
    return [int(targets)]


def _choice(name: str, value: str, no: str, yes: str) -> bool:
    if value not in (no, yes):
        raise Error(f'{name}: expected "{no}" or "{yes}", got {value!r}', "number", name)
    return value == yes


class Routes:
    """The routes to some targets, as a graph. :func:`routes` makes it.

    Nodes are ordered from the top down: the last layer comes first. Edges are ordered by the node in which they end.
    """

    def __init__(self, graph: _native.Graph) -> None:
        self._graph = graph

    @property
    def n_layers(self) -> int:
        """The number of layers of the model."""
        return self._graph.n_layers

    @property
    def n_pos(self) -> int:
        """The number of positions of the prompt."""
        return self._graph.n_pos

    @property
    def n_heads(self) -> int:
        """The number of heads of a layer."""
        return self._graph.n_heads

    @property
    def heads(self) -> str:
        """``"each"`` or ``"summed"``."""
        return self._graph.heads

    @property
    def threshold(self) -> float:
        """What all weights are greater than."""
        return self._graph.threshold

    @property
    def targets(self) -> list[int]:
        """The positions of the targets, in order."""
        return self._graph.targets

    @property
    def tokens(self) -> list[str]:
        """The texts of the prompt's tokens; empty where they are not known."""
        return self._graph.tokens

    @cached_property
    def nodes(self) -> np.ndarray[Any, Any]:
        """The nodes, a structured array: ``layer``, ``kind`` (:class:`NodeKind`), ``position``, and ``flow``, how much of the targets' flow
        passes through it."""
        return np.frombuffer(self._graph.nodes(), NODE_DTYPE)

    @cached_property
    def edges(self) -> np.ndarray[Any, Any]:
        """The edges, a structured array: ``from`` and ``to`` (numbers of nodes: a part, and its whole), ``kind`` (:class:`EdgeKind`), ``head``
        (-1 where it is not one head's), ``weight`` (the contribution of the part to its whole), and ``flow``."""
        return np.frombuffer(self._graph.edges(), EDGE_DTYPE)

    @cached_property
    def starts(self) -> np.ndarray[Any, Any]:
        """Where the edges that end in each node begin, and how many edges there are: those to node ``i`` are
        ``edges[starts[i]:starts[i + 1]]``."""
        return np.array(self._graph.starts(), np.int64)

    @cached_property
    def totals(self) -> _native.Totals:
        """Sums of the flow: by head, MLP, token and layer."""
        return self._graph.totals()

    def routes_to(self, targets: Targets, *, threshold: float | None = None) -> Routes:
        """The routes to some of the targets, or with a greater threshold, taken out of these without computing anything again."""
        at_least = self.threshold if threshold is None else threshold
        return Routes(self._graph.routes_to(_positions(targets), at_least))

    def difference(self, other: Routes, *, tolerance: float = 0.0) -> np.ndarray[Any, Any]:
        """The edges that only one of both has, and those whose weight or flow differs by more than ``tolerance``: a structured array with
        the layer, kind and position of both ends, the ``kind`` and ``head`` of the edge, and its weight and flow before (here) and after
        (in ``other``), NaN where it does not exist. Models and prompts must have the same numbers of layers, heads and positions."""
        return np.frombuffer(self._graph.difference(other._graph, tolerance), CHANGE_DTYPE)

    def to_json(self) -> str:
        """All nodes and edges as JSON."""
        return self._text("json")

    def to_csv(self) -> str:
        """One line for each edge."""
        return self._text("csv")

    def to_dot(self) -> str:
        """The graph in the language of Graphviz."""
        return self._text("dot")

    def to_svg(self) -> str:
        """A picture: tokens by layers."""
        return self._text("svg")

    def to_html(self) -> str:
        """A page to explore the routes in a browser: one file, which needs no network."""
        return self._text("html")

    def _text(self, format: str) -> str:
        return self._graph.write(format).decode()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the routes to a file, as its name ends: ``.json``, ``.csv``, ``.dot``, ``.svg``, ``.html``, or ``.npz`` with the arrays. An older
        file is replaced once the new one is complete."""
        path = Path(path)
        format = path.suffix.lower().lstrip(".")
        if format == "npz":
            write: Callable[[Any], object] = self._save_arrays
        else:
            text = self._graph.write(format)

            def write(file: Any) -> object:
                return file.write(text)

        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                write(file)
            except BaseException:
                os.unlink(file.name)
                raise
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(file.name, 0o666 & ~umask)
        os.replace(file.name, path)

    def _save_arrays(self, file: Any) -> None:
        np.savez_compressed(
            file,
            nodes=self.nodes,
            edges=self.edges,
            starts=self.starts,
            targets=np.array(self.targets, np.int64),
            tokens=np.array(self.tokens, np.str_),
        )

    def to_pandas(self) -> pandas.DataFrame:
        """The edges as a table, one row each: layer, kind, position and token of both ends, ``kind``, ``head``, ``weight``, ``flow``."""
        import pandas

        columns: dict[str, Any] = {}
        tokens = np.array(self.tokens, dtype=object)
        for end in ("from", "to"):
            nodes = self.nodes[self.edges[end]]
            columns[f"{end}_layer"] = nodes["layer"]
            columns[f"{end}_kind"] = _categories(nodes["kind"], NodeKind)
            columns[f"{end}_position"] = nodes["position"]
            if len(tokens) == self.n_pos:
                columns[f"{end}_token"] = tokens[nodes["position"]]
        columns["kind"] = _categories(self.edges["kind"], EdgeKind)
        columns["head"] = self.edges["head"]
        columns["weight"] = self.edges["weight"]
        columns["flow"] = self.edges["flow"]
        return pandas.DataFrame(columns)

    def to_networkx(self) -> networkx.MultiDiGraph[int]:
        """A graph with the numbers of nodes as nodes, and the fields of nodes and edges as attributes."""
        import networkx

        graph: networkx.MultiDiGraph[int] = networkx.MultiDiGraph(
            threshold=self.threshold, targets=self.targets, tokens=self.tokens
        )
        for number, (layer, kind, position, flow) in enumerate(self.nodes.tolist()):
            attributes: dict[str, Any] = {"layer": layer, "kind": NodeKind(kind).name.lower(), "position": position, "flow": flow}
            if position < len(self.tokens):
                attributes["token"] = self.tokens[position]
            graph.add_node(number, **attributes)
        for from_node, to_node, kind, head, weight, flow in self.edges.tolist():
            attributes = {"kind": EdgeKind(kind).name.lower(), "weight": weight, "flow": flow}
            if head >= 0:
                attributes["head"] = head
            graph.add_edge(from_node, to_node, **attributes)
        return graph

    def _repr_html_(self) -> str:
        page = html.escape(self.to_html(), quote=True)
        return (
            f'<iframe srcdoc="{page}" sandbox="allow-scripts allow-downloads" '
            'style="width: 100%; height: 640px; border: 1px solid #ccc"></iframe>'
        )

    def __repr__(self) -> str:
        targets = self.targets
        shown = str(targets) if len(targets) <= 5 else f"{len(targets)} positions"
        return f"Routes({len(self.nodes)} nodes, {len(self.edges)} edges, targets={shown}, threshold={self.threshold:g})"


def _categories(codes: np.ndarray[Any, Any], kinds: type[IntEnum]) -> Any:
    import pandas

    return pandas.Categorical.from_codes(codes, [kind.name.lower() for kind in kinds])
