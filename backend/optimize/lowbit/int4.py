"""4-bit weights: 16 levels per group of 32 inputs; activations and sums stay wider."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.optimize.base import Support
from backend.optimize.lowbit import bitsandbytes
from backend.optimize.lowbit.cpu_kernels import INT4_GROUP, int4_product, int4_reason
from backend.optimize.lowbit.replace_linears import linear_uses, quantize_layers


class Int4Matrix:
    """x W^T for rows x [B, in]; `norm` and `eps` fold a preceding RMS norm into the matrix."""

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


@dataclass(frozen=True, slots=True)
class Int4:
    """Quality: logits keep a cosine similarity of at least 1 - `tolerance` with float32 (docs/optimizations.md)."""

    name: str = "int4"
    is_exact: bool = False
    tolerance: float = 0.15

    def supported(self, device: torch.device, model: nn.Module) -> Support:
        if device.type == "cuda":
            return bitsandbytes.supported(model)
        if device.type != "cpu":
            return Support(False, f"4-bit matmuls need a CPU or a CUDA GPU; this is {device.type}")
        odd = [use for use in linear_uses(model) if use.linear.in_features % INT4_GROUP]
        if odd:
            return Support(False, f"{len(odd)} matrices have an input size that is not a multiple of {INT4_GROUP}")
        reason = int4_reason()
        return Support(reason is None, reason or "4-bit weights, one scale and one offset per 32 inputs")

    def apply(self, model: nn.Module) -> nn.Module:
        """Replaces the matrices of `model` in place."""
        if next(model.parameters()).is_cuda:
            return bitsandbytes.quantize(model, 4)
        return quantize_layers(model, Int4Matrix)
