"""Number of threads of a matrix product, selected by measurement.

Threads synchronize after every product, hundreds of times per frame. If other programs use the CPU, one thread too many
is far slower than one too few, which only a measurement shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from backend.hardware import current_hardware
from backend.optimize.base import Support

# More threads must bring at least this speedup: they take cores from the other stages.
WORTHWHILE = 1.25


@dataclass(frozen=True, slots=True)
class Threads:
    """Matrix products of the calling thread use `n_threads`. A worker applies it in its own thread."""

    n_threads: int = 1
    name: str = "threads"
    is_exact: bool = True
    tolerance: float = 0.0

    def supported(self, device: torch.device, model: nn.Module | None = None) -> Support:
        if device.type != "cpu":
            return Support(False, f"CPU threads need a CPU; this is {device.type}")
        return Support(True, f"{self.n_threads} of {current_hardware().n_cores} cores")

    def apply(self, model: nn.Module) -> nn.Module:
        use_threads(self.n_threads)
        return model


def use_threads(n_threads: int) -> None:
    torch.set_num_threads(n_threads)


def thread_counts(n_cores: int) -> tuple[int, ...]:
    """Returns 1, 2, 4, ... and `n_cores`."""
    return tuple(sorted({1 << k for k in range(n_cores.bit_length()) if 1 << k <= n_cores} | {n_cores}))


def measure_threads(seconds: Callable[[], float], counts: Sequence[int]) -> dict[int, float]:
    """Returns `seconds()` under each thread count; restores the previous count."""
    before, found = torch.get_num_threads(), {}
    try:
        for count in counts:
            use_threads(count)
            found[count] = seconds()
    finally:
        use_threads(before)
    return found


def choose_threads(seconds: dict[int, float]) -> int:
    """Returns the fastest count, or a smaller one that is nearly as fast."""
    best = min(seconds.values())
    return min(count for count, time_s in seconds.items() if time_s <= best * WORTHWHILE)
