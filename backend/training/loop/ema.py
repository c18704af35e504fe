"""A moving average of the weights: what a run exports."""

from __future__ import annotations

from copy import deepcopy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


class ExponentialMovingAverage(Generic[Module]):
    """`module` is an evaluation copy whose floating weights and buffers trail those of the original.

    The first steps of a phase weigh more, or a thousand steps later a third of the average would be its random start.
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
        """Take in the weights after `step` of a phase."""
        decay = min(self.decay, (step + 1) / (step + 11))
        # Less a share of the difference: where both are equal (frozen parts) this leaves them bit-equal, zeros and their
        # signs too, which a lerp would not.
        ours, theirs = [o for o, _ in self._averaged], [t for _, t in self._averaged]
        torch._foreach_sub_(ours, torch._foreach_sub(ours, theirs), alpha=1.0 - decay)
        for mine, original in self._copied:
            mine.copy_(original)

    @torch.no_grad()
    def restart_part(self, prefix: str) -> None:
        """Forget the past of one part: become equal to the original, as after its codebooks were placed anew."""
        for name, ours, theirs in self._pairs:
            if name.startswith(prefix + "."):
                ours.copy_(theirs)


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]
