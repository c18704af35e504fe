"""8-bit weights. On CPU, activations are also rounded, each row by its own largest value."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backend.optimize.base import Support
from backend.optimize.lowbit import bitsandbytes
from backend.optimize.lowbit.cpu_kernels import int8_product, int8_reason
from backend.optimize.lowbit.replace_linears import quantize_layers

TINY = 1e-30  # keeps a row of zeros at zero


class Int8Matrix:
    """x W^T in 8 bits for float32 rows x [B, in]; a row's result is bit-equal alone and in every batch.

    `norm` and `eps` fold a preceding RMS norm into the matrix: the row's scale and the norm's are one factor.
    """

    def __init__(self, weight: Tensor, norm: Tensor | None = None, eps: float = 0.0):
        weight = weight.detach().float()
        self.floor = None
        if norm is not None:
            n_in = weight.shape[1]
            weight = weight * (norm.detach().float() * math.sqrt(n_in))
            self.floor = torch.tensor(math.sqrt(n_in * eps))
        self.product = int8_product(weight)

    def __call__(self, rows: Tensor) -> Tensor:
        largest = rows.abs().amax(-1, keepdim=True).clamp_min_(TINY)
        y = self.product(rows / largest)
        if self.floor is not None:
            # |x| including the norm's epsilon: sqrt(sum x^2 + n eps).
            largest.div_(torch.linalg.vector_norm(rows, 2, -1, True).hypot_(self.floor))
        return y.mul_(largest)


@dataclass(frozen=True, slots=True)
class Int8:
    """Quality: logits keep a cosine similarity of at least 1 - `tolerance` with float32 (docs/optimizations.md)."""

    name: str = "int8"
    is_exact: bool = False
    tolerance: float = 0.01

    def supported(self, device: torch.device, model: nn.Module) -> Support:
        if device.type == "cuda":
            return bitsandbytes.supported(model)
        if device.type != "cpu":
            return Support(False, f"8-bit matmuls need a CPU or a CUDA GPU; this is {device.type}")
        reason = int8_reason()
        return Support(reason is None, reason or "8-bit matmuls, one scale per output and per row")

    def apply(self, model: nn.Module) -> nn.Module:
        """Replaces the matrices of `model` in place."""
        if next(model.parameters()).is_cuda:
            return bitsandbytes.quantize(model, 8)
        return quantize_layers(model, Int8Matrix)
