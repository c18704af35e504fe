"""The interface between the loop and a training task."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from backend.training.loop.ema import ExponentialMovingAverage


class Task(Protocol):
    """A model with its dataset and losses. `state` contains everything that must survive an interruption."""

    @property
    def watched(self) -> str:
        """Name of the logged loss whose divergence triggers a rollback."""
        ...

    @property
    def average(self) -> ExponentialMovingAverage[Any]:
        """The averaged weights for export and validation."""
        ...

    def start_phase(self, name: str, seed: int, is_fresh: bool) -> None:
        """Starts a phase with new optimizers, or prepares for `restore` if it is not fresh."""
        ...

    def set_lr(self, phase_step: int, scale: float) -> float:
        """Applies the schedule; returns the learning rate to log."""
        ...

    def train_step(self, phase_step: int, is_detailed: bool) -> dict[str, Tensor]:
        """Trains on the next batch; returns scalars to average, without synchronizing with the device."""
        ...

    def reseed(self, seed: int) -> None:
        """Continues with other batches."""
        ...

    def measure(self, n_steps: int, cpu_s: float) -> dict[str, Any]:
        """Returns values to log besides the averaged scalars of the last `n_steps`, which took `cpu_s`."""
        ...

    def on_log(self, step: int, values: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
        """Reacts to the logged values; returns events that change the meaning of the loss, with values to log."""
        ...

    def export_metadata(self) -> dict[str, Any]:
        """Returns metadata for an export."""
        ...

    def validate(self, folder: Path) -> dict[str, Any]:
        """Scores the averaged weights; audio goes to `folder`. Returns nothing without validation data."""
        ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any], is_first: bool) -> None: ...
