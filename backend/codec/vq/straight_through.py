"""Gradient estimators for quantization."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

Gradient = Literal["straight_through", "rotation"]


def pass_gradient(x: Tensor, code: Tensor, gradient: Gradient) -> Tensor:
    """Returns the values of `code` [B, D, T] with a gradient to `x` [B, D, T] and none to `code`."""
    if gradient == "rotation":
        return rotate_to(x, code)
    return straight_through(x, code)


def straight_through(x: Tensor, code: Tensor) -> Tensor:
    """Passes the output's gradient to `x` unchanged."""
    # In this order the value is exactly the code's: x - x is zero, while x + (code - x) rounds.
    return code.detach() + (x - x.detach())


def rotate_to(x: Tensor, code: Tensor) -> Tensor:
    """Maps `x` to `code` by a rotation and scaling held constant (arXiv 2410.06424).

    The gradient keeps its angle to the latent, so points of one cell get different gradients.
    """
    from_unit = F.normalize(x.detach(), dim=1)
    to_unit = F.normalize(code.detach(), dim=1)
    between = F.normalize(from_unit + to_unit, dim=1)
    reflected = x - 2 * between * (between * x).sum(dim=1, keepdim=True)
    turned = reflected + 2 * to_unit * (from_unit * x).sum(dim=1, keepdim=True)
    scale = code.norm(dim=1, keepdim=True) / x.norm(dim=1, keepdim=True).clamp_min(1e-6)
    return straight_through(turned * scale.detach(), code)
