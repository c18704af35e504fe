"""What an optimisation promises."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import nn


class Support(NamedTuple):
    ok: bool
    reason: str


class Optimization(Protocol):
    """One technique. Exact ones give the same numbers up to float rounding; others state `tolerance`."""

    name: str
    is_exact: bool
    tolerance: float

    def supported(self, device: torch.device, model: nn.Module) -> Support: ...

    def apply(self, model: nn.Module) -> nn.Module: ...
