"""Folds weight normalization into the weights once instead of computing it at every call."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils import parametrize

from backend.optimize.base import Support


@dataclass(frozen=True, slots=True)
class FoldWeightNorm:
    """For models that use PyTorch's parametrization; the checkpoint loaders fold while reading."""

    name: str = "fold_weight_norm"
    is_exact: bool = True
    tolerance: float = 1e-6

    def supported(self, device: torch.device, model: nn.Module) -> Support:
        n_layers = sum(parametrize.is_parametrized(module) for module in model.modules())
        if not n_layers:
            return Support(False, "it has no weight normalization")
        return Support(True, f"{n_layers} layers normalize their weights at every call")

    def apply(self, model: nn.Module) -> nn.Module:
        for module in list(model.modules()):
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
        return model
