"""Weights in 16 levels per group of 32 inputs; sums and everything else stay wider."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.optimize import cards
from backend.optimize.base import Support
from backend.optimize.layers import quantize_layers, readings
from backend.optimize.quantized_products import INT4_GROUP, int4_product, int4_reason


class Int4Matrix:
    """x W^T for rows x [B, in]; `norm` and `eps` are an RMS norm in front of it, its weight folded into the matrix."""

    def __init__(self, weight: Tensor, norm: Tensor | None = None, eps: float = 0.0):
        weight = weight.detach().float()
        self.eps = None
        if norm is not None:
            weight, self.eps = weight * norm.detach().float(), eps
        self.product = int4_product(weight)

    def __call__(self, rows: Tensor) -> Tensor:
        if self.eps is not None:
            rows = F.rms_norm(rows, rows.shape[-1:], None, self.eps)
        return self.product(rows.bfloat16()).float()


class Int4Linear(nn.Module):
    """A drop-in for `nn.Linear` in inference: any leading shape and float type in, the same out."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.matrix = Int4Matrix(linear.weight)
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach().float(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.matrix(x.reshape(-1, self.in_features))
        y = y if self.bias is None else y.add_(self.bias)
        return y.view(*x.shape[:-1], self.out_features).to(x.dtype)


@dataclass(frozen=True, slots=True)
class Int4:
    """Quality: logits keep a cosine of at least 1 - `tolerance` with those of float32 (docs/optimizations.md)."""

    name: str = "int4"
    is_exact: bool = False
    tolerance: float = 0.15

    def supported(self, device: torch.device, model: nn.Module) -> Support:
        if device.type == "cuda":
            return cards.supported(model)
        if device.type != "cpu":
            return Support(False, f"4-bit products exist for processors and CUDA cards, not for {device.type}")
        odd = [found for found in readings(model) if found.linear.in_features % INT4_GROUP]
        if odd:
            return Support(False, f"{len(odd)} matrices have inputs that are not whole groups of {INT4_GROUP}")
        reason = int4_reason()
        return Support(reason is None, reason or "4-bit weights, one scale and one offset per 32 inputs")

    def apply(self, model: nn.Module) -> nn.Module:
        """Replace the matrices of `model`, in place."""
        if next(model.parameters()).is_cuda:
            return cards.quantize(model, 4)
        return quantize_layers(model, Int4Matrix, Int4Linear)
