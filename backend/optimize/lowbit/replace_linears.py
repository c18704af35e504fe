"""Quantization of a model's matrices: those of a `DualAR` in fused blocks, every linear layer of other models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from backend.lm.dual_ar import DualAR
from backend.optimize.lowbit.fused_block import FusedBlock, RotaryCache

MakeMatrix = Callable[..., Callable[[Tensor], Tensor]]
MakeLinear = Callable[[nn.Linear], nn.Module]
HEADS = ("head", "fast_output")


class LinearUse(NamedTuple):
    """A linear layer and how often one audio frame reads its weights."""

    linear: nn.Linear
    per_frame: int


def linear_uses(model: nn.Module) -> Iterator[LinearUse]:
    """Yields the layers that `quantize_layers` would replace."""
    if not isinstance(model, DualAR):
        yield from (LinearUse(m, 1) for m in model.modules() if isinstance(m, nn.Linear))
        return
    # The first two passes of the fast stack run together.
    n_fast = max(model.spec.n_codebooks - 1, 1)
    for stack, per_frame in ((model.layers, 1), (model.fast_layers, n_fast)):
        yield from (LinearUse(m, per_frame) for m in stack.modules() if isinstance(m, nn.Linear))
    for name, per_frame in zip(HEADS, (1, n_fast), strict=True):
        head = getattr(model, name)
        if isinstance(head, nn.ModuleList):
            # One output per codebook: each is read once.
            yield from (LinearUse(linear, 1) for linear in head)
        elif isinstance(head, nn.Linear):
            yield LinearUse(head, per_frame)


class MatrixLinear(nn.Module):
    """Drop-in for `nn.Linear` in inference: accepts any leading shape and float dtype, and returns the same."""

    def __init__(self, linear: nn.Linear, make_matrix: MakeMatrix):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.matrix = make_matrix(linear.weight)
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach().float(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.matrix(x.reshape(-1, self.in_features).float())
        y = y if self.bias is None else y.add_(self.bias)
        return y.view(*x.shape[:-1], self.out_features).to(x.dtype)


def quantize_layers(model: nn.Module, make_matrix: MakeMatrix) -> nn.Module:
    """Replaces matrices one by one in place, so that memory use only falls."""
    make_linear = partial(MatrixLinear, make_matrix=make_matrix)
    if not isinstance(model, DualAR):
        _replace_linears(model, make_linear)
        return model
    if model.head is None:
        model.narrow_head()
    for stack in (model.layers, model.fast_layers):
        table = RotaryCache()
        for index, block in enumerate(stack):
            stack[index] = FusedBlock(block, make_matrix, table)
    for name in HEADS:
        head = getattr(model, name)
        is_list = isinstance(head, nn.ModuleList)
        setattr(model, name, nn.ModuleList(map(make_linear, head)) if is_list else make_linear(head))
    # The rest computes in float32, the dtype of the products; embedding tables keep their dtype.
    for module in model.modules():
        if not isinstance(module, nn.Embedding):
            _widen(module)
    return model


def _widen(module: nn.Module) -> None:
    for parameter in module.parameters(recurse=False):
        parameter.data = parameter.data.float()


def _replace_linears(module: nn.Module, make_linear: MakeLinear) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, make_linear(child))
        else:
            _replace_linears(child, make_linear)
