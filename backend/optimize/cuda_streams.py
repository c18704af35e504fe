"""CUDA streams for stages that may overlap: the codec decodes one piece while the model says the next."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from backend.optimize.base import Support


@dataclass(slots=True)
class CudaStreams:
    """`n_streams` streams shared by the stages that ask, each stage always getting the same. Not yet run on a card."""

    n_streams: int = 3
    name: str = "streams"
    is_exact: bool = True
    tolerance: float = 0.0
    _open: list[torch.cuda.Stream] = field(default_factory=list)
    _stages: dict[str, int] = field(default_factory=dict)

    def supported(self, device: torch.device, model: nn.Module | None = None) -> Support:
        if device.type != "cuda":
            return Support(False, f"streams exist on CUDA cards; this is {device.type}")
        if self.n_streams < 2:
            return Support(False, "one stream is what runs anyway")
        return Support(True, f"{self.n_streams} streams")

    def apply(self, model: nn.Module) -> nn.Module:
        """Open the streams on the card of `model`, which stays as it is."""
        device = next(model.parameters()).device
        self._open = [torch.cuda.Stream(device) for _ in range(self.n_streams)]
        return model

    def stage(self, name: str) -> AbstractContextManager[Any]:
        """Run a block on the stream of stage `name`; before `apply`, and where refused, on the usual one."""
        if not self._open:
            return nullcontext()
        index = self._stages.setdefault(name, len(self._stages))
        stream = self._open[index % len(self._open)]
        stream.wait_stream(torch.cuda.current_stream(stream.device))
        return torch.cuda.stream(stream)
