"""torch.compile for the feed-forward layers of a language model.

They hold two thirds of the weights and are the same computation at every frame. Attention is not compiled: its past
grows, and every new length would compile again.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import nn

from backend.lm.blocks import FeedForward
from backend.optimize.base import Support


@dataclass(frozen=True, slots=True)
class TorchCompile:
    """Exact up to the order of float sums."""

    name: str = "compile"
    is_exact: bool = True
    tolerance: float = 1e-4  # largest difference, relative to the largest output

    def supported(self, device: torch.device, model: nn.Module) -> Support:
        if not any(isinstance(module, FeedForward) for module in model.modules()):
            return Support(False, "it has no plain feed-forward layers")
        if not torch._dynamo.is_dynamo_supported():
            return Support(False, "PyTorch cannot compile with this Python version")
        if cpp_compiler() is None:
            return Support(False, "no C++ compiler is installed (g++, clang++ or cl)")
        if device.type == "cuda" and find_spec("triton") is None:
            return Support(False, "Triton is not installed")
        return Support(True, "compiled on first use")

    def apply(self, model: nn.Module) -> nn.Module:
        """Marks the layers for compilation, which happens in the first frame."""
        for module in model.modules():
            if isinstance(module, FeedForward):
                module.compile(dynamic=True)
        return model


def cpp_compiler() -> str | None:
    """Returns the compiler that would be used, or None."""
    named = os.environ.get("CXX")
    return next(
        filter(None, map(shutil.which, (named, "g++", "clang++", "cl") if named else ("g++", "clang++", "cl"))), None
    )
