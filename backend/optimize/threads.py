"""How many threads a product is cut into, chosen by trying.

Threads wait for each other after every product, hundreds of times a frame. On a machine where something else
computes, one thread too many is far slower than one too few, and only a measurement tells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from backend.hardware import current_hardware
from backend.optimize.base import Support

# More threads must bring at least this much: they take cores from the other stages.
WORTHWHILE = 1.25


@dataclass(frozen=True, slots=True)
class Threads:
    """Products of the calling thread cut into `n_threads`. A worker applies it in its own thread."""

    n_threads: int = 1
    name: str = "threads"
    is_exact: bool = True
    tolerance: float = 0.0

    def supported(self, device: torch.device, model: nn.Module | None = None) -> Support:
        if device.type != "cpu":
            return Support(False, f"threads cut products on processors; this is {device.type}")
        return Support(True, f"{self.n_threads} of {current_hardware().n_cores} cores")

    def apply(self, model: nn.Module) -> nn.Module:
        use_threads(self.n_threads)
        return model


def use_threads(n_threads: int) -> None:
    torch.set_num_threads(n_threads)


def thread_counts(n_cores: int) -> tuple[int, ...]:
    """1, 2, 4, ... and all of them."""
    return tuple(sorted({1 << k for k in range(n_cores.bit_length()) if 1 << k <= n_cores} | {n_cores}))


def measure_threads(seconds: Callable[[], float], counts: Sequence[int]) -> dict[int, float]:
    """What `seconds()` says under each thread count; the count from before is put back."""
    before, found = torch.get_num_threads(), {}
    try:
        for count in counts:
            use_threads(count)
            found[count] = seconds()
    finally:
        use_threads(before)
    return found


def choose_threads(seconds: dict[int, float]) -> int:
    """The fastest count, or a smaller one that is nearly as fast."""
    best = min(seconds.values())
    return min(count for count, time_s in seconds.items() if time_s <= best * WORTHWHILE)
