"""Matrix products as lists of calls between fixed buffers: float32, 16-bit and quantized weights, with norms in front.

`into` computes out = x W^T, `add_into` out += x W^T, for float32 rows x [B, in] and out [B, out] at fixed addresses. A
preceding norm, separate or folded into the weights, belongs to the matrix.
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
    """Temporary buffers shared by consecutive calls with the same purpose and shape; contents do not persist."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str | int, ...], Tensor] = {}

    def zeros(self, purpose: str, *shape: int) -> Tensor:
        return self._buffers.setdefault((purpose, *shape), torch.zeros(*shape))


class CpuGraphMatrix(Protocol):
    def into(self, x: Tensor, out: Tensor, scratch: Scratch) -> Iterator[Call]: ...

    def add_into(self, x: Tensor, out: Tensor, scratch: Scratch) -> Iterator[Call]: ...


class FloatMatrix(nn.Module):
    """The product of `linear` without its bias, up to rounding.

    Weights stored in 16 bits are read as 16 bits, half the memory. Weights stored as 8-bit rows are read as integers,
    exact in 16 bits, and their scales.
    """

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.n_out, weight = linear.out_features, linear.weight.detach()
        halves = as_halves(weight) if has_half_product() else None
        if halves is None:
            # Stored transposed: one row then takes a third less time. The layer shares this memory.
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

    def add_into(self, x: Tensor, out: Tensor, scratch: Scratch) -> Iterator[Call]:
        if self.multiply is None:
            yield partial(out.addmm_, x, self.columns)
            return
        yield from add_product(self, x, out, scratch)

    def forward(self, x: Tensor) -> Tensor:
        """Applies the matrix as a layer: [..., n_in] to [..., n_out]."""
        rows, out = x.flatten(0, -2), x.new_empty(*x.shape[:-1], self.n_out)
        for call in self.into(rows, out.flatten(0, -2), Scratch()):
            call()
        return out


class CalledMatrix:
    """A quantized matrix called as a function."""

    def __init__(self, matrix: Callable[[Tensor], Tensor]):
        self.matrix = matrix

    def into(self, x: Tensor, out: Tensor, scratch: Scratch) -> Iterator[Call]:
        y, matrix = out.numpy(), self.matrix
        yield lambda: np.copyto(y, matrix(x).numpy())

    def add_into(self, x: Tensor, out: Tensor, scratch: Scratch) -> Iterator[Call]:
        y, matrix = out.numpy(), self.matrix
        yield lambda: np.add(y, matrix(x).numpy(), y)


class CpuGraphInt8Matrix:
    """`Int8Matrix` with its row scales in NumPy: the same integers, so the same sums."""

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

    def add_into(self, x: Tensor, out: Tensor, scratch: Scratch) -> Iterator[Call]:
        yield from add_product(self, x, out, scratch)


class NormedMatrix:
    """A matrix with a separate RMS norm in front of it."""

    def __init__(self, norm: RMSNorm, matrix: CpuGraphMatrix):
        self.norm, self.matrix = norm, matrix

    def into(self, x: Tensor, out: Tensor, scratch: Scratch) -> Iterator[Call]:
        normed = scratch.zeros("normed", *x.shape)
        yield from norm_calls(self.norm, x, normed, scratch)
        yield from self.matrix.into(normed, out, scratch)

    def add_into(self, x: Tensor, out: Tensor, scratch: Scratch) -> Iterator[Call]:
        yield from add_product(self, x, out, scratch)


def cpu_graph_matrix(layer: nn.Module | Callable[[Tensor], Tensor]) -> CpuGraphMatrix:
    """Binds a linear layer or a quantized matrix, without its bias."""
    if isinstance(layer, nn.Linear):
        return FloatMatrix(layer)
    matrix = layer.matrix if isinstance(layer, MatrixLinear) else layer
    return CpuGraphInt8Matrix(matrix) if isinstance(matrix, Int8Matrix) else CalledMatrix(matrix)


def add_product(matrix: CpuGraphMatrix, x: Tensor, out: Tensor, scratch: Scratch) -> Iterator[Call]:
    """Computes out += x W^T through a temporary product."""
    product = scratch.zeros("product", *out.shape)
    yield from matrix.into(x, product, scratch)
    yield partial(np.add, out.numpy(), product.numpy(), out.numpy())


def norm_calls(norm: RMSNorm, x: Tensor, out: Tensor, scratch: Scratch) -> Iterator[Call]:
    """Computes out = norm of x [B, n]."""
    rows, y, n_in = x.numpy(), out.numpy(), x.shape[1]
    # Dividing by the vector's length instead of its root mean square saves a call.
    weight = norm.weight.detach().numpy() * np.float32(math.sqrt(n_in))
    length = scratch.zeros("length", len(rows), 1).numpy()
    yield from lengths(rows, n_in * norm.eps, length)
    yield partial(np.divide, rows, length, y)
    yield partial(np.multiply, y, weight, y)


def lengths(rows: np.ndarray, floor: float, out: np.ndarray) -> Iterator[Call]:
    """Computes out [..., 1] = sqrt(sum of squares of rows [..., n] + `floor`)."""
    square = out[..., None]
    yield partial(np.matmul, rows[..., None, :], rows[..., :, None], square)
    yield partial(np.add, out, np.float32(floor), out)
    yield partial(np.sqrt, out, out)
