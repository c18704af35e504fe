"""How a gradient crosses the step from a latent to its code."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

Gradient = Literal["straight_through", "rotation"]


def pass_gradient(x: Tensor, code: Tensor, gradient: Gradient) -> Tensor:
    """The values of `code` [B, D, T] with a gradient towards `x` [B, D, T]; none reaches `code`."""
    if gradient == "rotation":
        return rotate_to(x, code)
    return straight_through(x, code)


def straight_through(x: Tensor, code: Tensor) -> Tensor:
    """The gradient of the output becomes the gradient of `x` unchanged."""
    # In this order the value is exactly the code's: x - x is zero, while x + (code - x) would round.
    return code.detach() + (x - x.detach())


def rotate_to(x: Tensor, code: Tensor) -> Tensor:
    """Reach `code` by the rotation and scaling that take `x` there, held constant (arXiv 2410.06424).

    The gradient keeps its angle to the latent: points of one cell are pushed in different directions.
    """
    from_unit = F.normalize(x.detach(), dim=1)
    to_unit = F.normalize(code.detach(), dim=1)
    between = F.normalize(from_unit + to_unit, dim=1)
    reflected = x - 2 * between * (between * x).sum(dim=1, keepdim=True)
    turned = reflected + 2 * to_unit * (from_unit * x).sum(dim=1, keepdim=True)
    scale = code.norm(dim=1, keepdim=True) / x.norm(dim=1, keepdim=True).clamp_min(1e-6)
    return straight_through(turned * scale.detach(), code)
