"""Exponential moving average of the weights, which a run exports."""

from __future__ import annotations

from copy import deepcopy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


class ExponentialMovingAverage(Generic[Module]):
    """`module` is an eval copy whose floating-point weights and buffers are averages of the original's.

    The first steps of a phase have more weight; otherwise, a thousand steps later, a third of the average would be the
    random initialization.
    """

    def __init__(self, original: Module, decay: float):
        self.decay = decay
        self.module: Module = deepcopy(original).eval().requires_grad_(False)
        theirs = dict(_tensors(original))
        self._pairs = [(name, ours, theirs[name]) for name, ours in _tensors(self.module)]
        self._averaged = [(ours, theirs) for _, ours, theirs in self._pairs if ours.is_floating_point()]
        self._copied = [(ours, theirs) for _, ours, theirs in self._pairs if not ours.is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Averages in the weights after `step` of a phase."""
        decay = min(self.decay, (step + 1) / (step + 11))
        # Subtracting part of the difference keeps equal values (frozen modules) bit-equal, including signed zeros; lerp
        # would not.
        ours, theirs = [o for o, _ in self._averaged], [t for _, t in self._averaged]
        torch._foreach_sub_(ours, torch._foreach_sub(ours, theirs), alpha=1.0 - decay)
        for mine, original in self._copied:
            mine.copy_(original)

    @torch.no_grad()
    def restart_part(self, prefix: str) -> None:
        """Resets one part to the original's values, as after codebook re-initialization."""
        for name, ours, theirs in self._pairs:
            if name.startswith(prefix + "."):
                ours.copy_(theirs)


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]
