"""A linear layer with oneDNN-packed weights for few rows at a time.

A live stream multiplies one to a few frames by each matrix, and the matrices leave the cache between steps, so reading
them is the whole cost. Packed by oneDNN they are read nearly twice as fast, and in bfloat16 at half the size about
three times (docs/log.md).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.hardware import current_hardware
from backend.nn.cached_weights import DerivedInEval

# Above this many rows the general matmul is as fast.
FEW_ROWS = 8


def has_packed_product() -> bool:
    """Whether this build of PyTorch multiplies by weights that oneDNN has packed."""
    return current_hardware().has_onednn and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class PackedLinear(DerivedInEval):
    """activation(x W^T + b), with the parameters of `nn.Linear` and equal results up to rounding.

    Setting `product_dtype` to bfloat16 for CPU inference rounds weights and inputs but not sums.
    """

    def __init__(self, in_features: int, out_features: int, activation: Literal["none", "gelu"] = "none"):
        super().__init__()
        self.in_features, self.out_features, self.activation = in_features, out_features, activation
        self.product_dtype = torch.float32
        plain = nn.Linear(in_features, out_features)
        self.weight, self.bias = plain.weight, plain.bias

    def derive(self) -> tuple[Tensor, Tensor]:
        weight, bias = (tensor.detach().to(self.product_dtype) for tensor in (self.weight, self.bias))
        return torch.ops.mkldnn._reorder_linear_weight(weight, FEW_ROWS), bias

    def forward(self, x: Tensor) -> Tensor:
        if self._is_packed_product(x):
            weight, bias = self.derived()
            algorithm = "none" if self.activation == "gelu" else ""
            x = x.to(self.product_dtype)
            return torch.ops.mkldnn._linear_pointwise(x, weight, bias, self.activation, [], algorithm).float()
        weight = self.weight
        if self.product_dtype != weight.dtype and not self.training and weight.dtype == torch.float32:
            # The same rounding where oneDNN has no such product.
            x, weight = (tensor.to(self.product_dtype).float() for tensor in (x, weight))
        y = F.linear(x, weight, self.bias)
        return F.gelu(y) if self.activation == "gelu" else y

    def _is_packed_product(self, x: Tensor) -> bool:
        return (
            not self.training
            and not torch.is_grad_enabled()
            and (x.numel() <= FEW_ROWS * self.in_features or self.product_dtype == torch.bfloat16)
            and x.device.type == "cpu"
            and x.dtype == self.weight.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu")
            and has_packed_product()
            and (self.product_dtype == torch.float32 or current_hardware().has_bf16_matmul)
        )
