"""CUDA streams for overlapping stages: the codec decodes one chunk while the model generates the next."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from backend.optimize.base import Support


@dataclass(slots=True)
class CudaStreams:
    """`n_streams` streams shared by the stages; each stage always uses the same one. Not yet run on a GPU."""

    n_streams: int = 3
    name: str = "streams"
    is_exact: bool = True
    tolerance: float = 0.0
    _open: list[torch.cuda.Stream] = field(default_factory=list)
    _stages: dict[str, int] = field(default_factory=dict)

    def supported(self, device: torch.device, model: nn.Module | None = None) -> Support:
        if device.type != "cuda":
            return Support(False, f"CUDA streams need a CUDA GPU; this is {device.type}")
        if self.n_streams < 2:
            return Support(False, "one stream is the default")
        return Support(True, f"{self.n_streams} streams")

    def apply(self, model: nn.Module) -> nn.Module:
        """Opens the streams on the GPU of `model`, which is unchanged."""
        device = next(model.parameters()).device
        self._open = [torch.cuda.Stream(device) for _ in range(self.n_streams)]
        return model

    def stage(self, name: str) -> AbstractContextManager[Any]:
        """Runs a block on the stream of stage `name`, or on the default stream if none are open."""
        if not self._open:
            return nullcontext()
        index = self._stages.setdefault(name, len(self._stages))
        stream = self._open[index % len(self._open)]
        stream.wait_stream(torch.cuda.current_stream(stream.device))
        return torch.cuda.stream(stream)
