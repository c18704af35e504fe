"""The interface of an optimization."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import nn


class Support(NamedTuple):
    ok: bool
    reason: str


class Optimization(Protocol):
    """One technique. Exact ones give equal results up to float rounding; others state a `tolerance`."""

    @property
    def name(self) -> str: ...

    @property
    def is_exact(self) -> bool: ...

    @property
    def tolerance(self) -> float: ...

    def supported(self, device: torch.device, model: nn.Module) -> Support: ...

    # Any: most support one kind of model only, which `supported` checks.
    def apply(self, model: Any) -> Any: ...
