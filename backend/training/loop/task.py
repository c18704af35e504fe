"""The seam between the loop and what it trains."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from backend.training.loop.ema import ExponentialMovingAverage


class Task(Protocol):
    """A model with its dataset and its losses. Everything that must survive an interruption is in `state`."""

    @property
    def watched(self) -> str:
        """The name of the logged loss whose divergence takes the run back to its last snapshot."""
        ...

    @property
    def average(self) -> ExponentialMovingAverage[Any]:
        """The weights that are exported and listened to."""
        ...

    def start_phase(self, name: str, seed: int, is_fresh: bool) -> None:
        """Begin a phase with new optimisers, or prepare for `restore` if it is not fresh."""
        ...

    def set_lr(self, phase_step: int, scale: float) -> float:
        """Follow the schedule; returns the learning rate to log."""
        ...

    def train_step(self, phase_step: int, is_detailed: bool) -> dict[str, Tensor]:
        """Draw the next batch and learn from it; returns scalars to average, without waiting for the device."""
        ...

    def reseed(self, seed: int) -> None:
        """Draw other batches from here on."""
        ...

    def measure(self, n_steps: int, cpu_s: float) -> dict[str, Any]:
        """What to log beside the averaged scalars of the last `n_steps`, which took `cpu_s`."""
        ...

    def on_log(self, step: int, values: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
        """Act on what was measured; returns events that change what the loss means, with facts to log."""
        ...

    def export_metadata(self) -> dict[str, Any]:
        """What an export should say of itself."""
        ...

    def validate(self, folder: Path) -> dict[str, Any]:
        """Judge the averaged weights; sounds go to `folder`. Nothing to log if there is nothing to judge by."""
        ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any], is_first: bool) -> None: ...
