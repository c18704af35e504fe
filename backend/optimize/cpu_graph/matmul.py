"""Products as lists of calls between buffers: float32 and 16-bit weights, quantized ones, and norms in front of them.

A matrix knows two ways: `into` makes out = x W^T, `added` adds to what is there, for rows x [B, in] and out [B, out] in
float32 that stay where they are. A norm in front, its own or folded in, is part of the matrix.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from backend.nn.norms import RMSNorm
from backend.optimize.lowbit.cpu_kernels import as_halves, half_product, has_half_product
from backend.optimize.lowbit.int8 import TINY, Int8Matrix
from backend.optimize.lowbit.replace_linears import MatrixLinear

Call = Callable[[], object]


class Scratch:
    """Memory from one call to the next few, for all that want the same: what is kept longer does not belong here."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str | int, ...], Tensor] = {}

    def zeros(self, purpose: str, *shape: int) -> Tensor:
        return self._kept.setdefault((purpose, *shape), torch.zeros(*shape))


class CpuGraphMatrix(Protocol):
    def into(self, x: Tensor, out: Tensor, scratch: Scratch) -> Iterator[Call]: ...

    def added(self, x: Tensor, out: Tensor, scratch: Scratch) -> Iterator[Call]: ...


class FloatMatrix(nn.Module):
    """Up to rounding what `linear` without its bias gives.

    Weights that were stored in 16 bits are read so, half the memory. So are those that were stored as 8-bit rows: as
    the whole numbers they were, exact in 16 bits, and their scales.
    """

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.n_out, weight = linear.out_features, linear.weight.detach()
        halves = as_halves(weight) if has_half_product() else None
        if halves is None:
            # Stored by inputs: one row then takes a third less. The layer goes on with the same memory.
            self.columns = weight.t().contiguous()
            linear.weight = nn.Parameter(self.columns.t(), requires_grad=False)
            self.multiply = None
        else:
            numbers, scales = halves
            self.multiply, self.scales = half_product(numbers), None if scales is None else scales.numpy()

    def into(self, x: Tensor, out: Tensor, scratch: Scratch) -> Iterator[Call]:
        if self.multiply is None:
            yield partial(torch.mm, x, self.columns, out=out)
            return
        y = out.numpy()
        yield partial(self.multiply, x, out)
        if self.scales is not None:
            yield partial(np.multiply, y, self.scales, y)

    def added(self, x: Tensor, out: Tensor, scratch: Scratch) -> Iterator[Call]:
        if self.multiply is None:
            yield partial(out.addmm_, x, self.columns)
            return
        yield from added_by(self, x, out, scratch)

    def forward(self, x: Tensor) -> Tensor:
        """[..., n_in] to [..., n_out], as a layer."""
        rows, out = x.flatten(0, -2), x.new_empty(*x.shape[:-1], self.n_out)
        for call in self.into(rows, out.flatten(0, -2), Scratch()):
            call()
        return out


class CalledMatrix:
    """A quantized matrix as it is called elsewhere."""

    def __init__(self, matrix: Callable[[Tensor], Tensor]):
        self.matrix = matrix

    def into(self, x: Tensor, out: Tensor, scratch: Scratch) -> Iterator[Call]:
        y, matrix = out.numpy(), self.matrix
        yield lambda: np.copyto(y, matrix(x).numpy())

    def added(self, x: Tensor, out: Tensor, scratch: Scratch) -> Iterator[Call]:
        y, matrix = out.numpy(), self.matrix
        yield lambda: np.add(y, matrix(x).numpy(), y)


class CpuGraphInt8Matrix:
    """`Int8Matrix` with its scales of rows in NumPy: the same whole numbers, so the same sums."""

    def __init__(self, matrix: Int8Matrix):
        self.matrix = matrix

    def into(self, x: Tensor, out: Tensor, scratch: Scratch) -> Iterator[Call]:
        rows, y, product = x.numpy(), out.numpy(), self.matrix.product
        sizes, scaled = scratch.zeros("sizes", *x.shape).numpy(), scratch.zeros("scaled", *x.shape)
        largest = scratch.zeros("largest", len(rows), 1).numpy()
        yield partial(np.absolute, rows, sizes)
        yield partial(np.maximum.reduce, sizes, 1, None, largest, True)
        yield partial(np.maximum, largest, np.float32(TINY), out=largest)
        yield partial(np.divide, rows, largest, scaled.numpy())
        if self.matrix.floor is not None:
            length = scratch.zeros("length", len(rows), 1).numpy()
            yield from lengths(rows, float(self.matrix.floor) ** 2, length)
            yield partial(np.divide, largest, length, largest)
        yield lambda: np.multiply(product(scaled).numpy(), largest, y)

    def added(self, x: Tensor, out: Tensor, scratch: Scratch) -> Iterator[Call]:
        yield from added_by(self, x, out, scratch)


class NormedMatrix:
    """A matrix behind an RMS norm of its own."""

    def __init__(self, norm: RMSNorm, matrix: CpuGraphMatrix):
        self.norm, self.matrix = norm, matrix

    def into(self, x: Tensor, out: Tensor, scratch: Scratch) -> Iterator[Call]:
        normed = scratch.zeros("normed", *x.shape)
        yield from norm_calls(self.norm, x, normed, scratch)
        yield from self.matrix.into(normed, out, scratch)

    def added(self, x: Tensor, out: Tensor, scratch: Scratch) -> Iterator[Call]:
        yield from added_by(self, x, out, scratch)


def cpu_graph_matrix(layer: nn.Module | Callable[[Tensor], Tensor]) -> CpuGraphMatrix:
    """A linear layer, or a quantized matrix, without its bias."""
    if isinstance(layer, nn.Linear):
        return FloatMatrix(layer)
    matrix = layer.matrix if isinstance(layer, MatrixLinear) else layer
    return CpuGraphInt8Matrix(matrix) if isinstance(matrix, Int8Matrix) else CalledMatrix(matrix)


def added_by(matrix: CpuGraphMatrix, x: Tensor, out: Tensor, scratch: Scratch) -> Iterator[Call]:
    """out += x W^T by way of a product of its own."""
    product = scratch.zeros("product", *out.shape)
    yield from matrix.into(x, product, scratch)
    yield partial(np.add, out.numpy(), product.numpy(), out.numpy())


def norm_calls(norm: RMSNorm, x: Tensor, out: Tensor, scratch: Scratch) -> Iterator[Call]:
    """out = the norm of x [B, n]"""
    rows, y, n_in = x.numpy(), out.numpy(), x.shape[1]
    # Divided by its length instead of the root of its mean square, one call less.
    weight = norm.weight.detach().numpy() * np.float32(math.sqrt(n_in))
    length = scratch.zeros("length", len(rows), 1).numpy()
    yield from lengths(rows, n_in * norm.eps, length)
    yield partial(np.divide, rows, length, y)
    yield partial(np.multiply, y, weight, y)


def lengths(rows: np.ndarray, floor: float, out: np.ndarray) -> Iterator[Call]:
    """out [..., 1] = the roots of the sums of squares of rows [..., n], and of `floor`"""
    square = out[..., None]
    yield partial(np.matmul, rows[..., None, :], rows[..., :, None], square)
    yield partial(np.add, out, np.float32(floor), out)
    yield partial(np.sqrt, out, out)
