"""How far a long call is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Progress(NamedTuple):
    """How far the search for routes is. It goes from the last layer to the first."""

    layer: int
    """The layer that is being computed."""
    n_layers: int
    stage: str
    """What of the layer is being computed: ``"resid_post"``, then ``"resid_mid"``."""
    done: int
    """How many positions of the stage are computed."""
    positions: int
    """How many positions of the stage there are."""
    edges: int
    """How many edges were found so far."""

    @property
    def fraction(self) -> float:
        """The part of all layers that is done."""
        of_layer = (self.done / max(self.positions, 1) + (self.stage == "resid_mid")) / 2
        return (self.n_layers - 1 - self.layer + of_layer) / self.n_layers


class Bar:
    """A bar of tqdm's, where that is installed; else nothing."""

    def __init__(self) -> None:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            self._bar: Any = None
        else:
            self._bar = tqdm(total=1.0, desc="routes", bar_format="{l_bar}{bar}| {elapsed}{postfix}")

    def __call__(self, progress: Progress) -> None:
        if self._bar is not None:
            self._bar.update(progress.fraction - self._bar.n)
            self._bar.set_postfix_str(f"{progress.edges} edges")

    def close(self, is_done: bool) -> None:
        if self._bar is not None:
            if is_done:
                self._bar.update(1.0 - self._bar.n)
            self._bar.close()


def callback(function: Callable[[Progress], object]) -> Callable[..., None]:
    """What the native part calls."""

    def call(*fields: Any) -> None:
        function(Progress(*fields))

    return call
