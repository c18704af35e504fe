"""8-bit matrices in the kernels' layout, and the addresses of their parts."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backend.optimize.cpu_kernel import layout as at
from backend.optimize.cpu_kernel.buffers import LANES, Buffers
from backend.optimize.cpu_kernel.compilation import Functions
from backend.optimize.lowbit.int8 import Int8Matrix

ALIGNMENT = 64


class KernelMatrix:
    """An `Int8Matrix` with the same integers and scales; called like one, with equal results up to rounding.

    `is_gated`: gates and ups alternate in blocks of 16, as the kernels of a layer read them.
    """

    def __init__(self, matrix: Int8Matrix, functions: Functions, bias: Tensor | None = None, is_gated: bool = False):
        levels, scales = matrix.product.levels_and_scales()
        self.n_out, self.n_in = levels.shape
        self.functions, self.is_gated = functions, is_gated
        values, factors = levels.numpy(), scales.numpy().astype(np.float32) / np.float32(127)
        biases = None if bias is None else bias.float().numpy()
        order = self._order()
        n_inputs = -(-self.n_in // LANES) * LANES
        self.n_blocks = len(order) // LANES
        self.weights = aligned((self.n_blocks, n_inputs // 4, LANES, 4), np.int8)
        is_used = order >= 0
        for block in range(self.n_blocks):
            rows = order[LANES * block : LANES * (block + 1)]
            padded = np.zeros((LANES, n_inputs), np.int8)
            padded[rows >= 0, : self.n_in] = values[rows[rows >= 0]]
            self.weights[block] = padded.reshape(LANES, n_inputs // 4, 4).transpose(1, 0, 2)
        self.scales, self.bias = np.zeros((2, len(order)), np.float32)
        self.scales[is_used] = factors[order[is_used]]
        if biases is not None:
            self.bias[is_used] = biases[order[is_used]]
        # Activations are stored around 128.
        self.corrections = 128 * self.weights.sum(axis=(1, 3), dtype=np.int32).reshape(-1)
        self.words = np.zeros(at.MATRIX_WORDS, np.int64)
        for word, array in (
            (at.M_WEIGHTS, self.weights),
            (at.M_SCALES, self.scales),
            (at.M_CORRECTIONS, self.corrections),
        ):
            self.words[word] = array.ctypes.data
        self.words[at.M_BIAS] = 0 if bias is None else self.bias.ctypes.data
        self.words[at.M_BLOCKS], self.words[at.M_INPUTS] = self.n_blocks, n_inputs
        self.words.view(np.float64)[at.M_FLOOR] = -1.0 if matrix.floor is None else float(matrix.floor) ** 2

    @property
    def without_bias(self) -> KernelMatrix:
        """The same matrix in the same memory, for callers that add the bias themselves."""
        other = copy.copy(self)
        other.words = self.words.copy()
        other.words[at.M_BIAS] = 0
        return other

    def _order(self) -> np.ndarray:
        """Returns the output in each row of the blocks, -1 for padding."""
        if not self.is_gated:
            return _padded(np.arange(self.n_out)).reshape(-1)
        half = self.n_out // 2
        gates, ups = (_padded(np.arange(start, start + half)) for start in (0, half))
        return np.stack((gates, ups), axis=1).reshape(-1)

    def __call__(self, rows: Tensor) -> Tensor:
        n_rows = min(len(rows), at.MAX_ROWS)
        buffers = Buffers(self.n_in, n_rows, most_inputs=self.n_in, n_out=LANES * self.n_blocks)
        products = []
        for part in rows.split(at.MAX_ROWS):
            n = len(part)
            buffers.x[:n, : self.n_in] = part.numpy()
            buffers.run(self.functions, at.PRODUCT, n, self.words, n)
            products.append(torch.from_numpy(buffers.logits[:n].copy()))
        y = torch.cat(products)
        if not self.is_gated:
            return y[:, : self.n_out]
        pairs = y.view(len(y), -1, 2, LANES)
        return torch.cat([pairs[:, :, k].flatten(1)[:, : self.n_out // 2] for k in (0, 1)], dim=1)


def _padded(indices: np.ndarray) -> np.ndarray:
    """Returns indices in blocks [n, 16], -1 at the end."""
    return np.pad(indices, (0, -len(indices) % LANES), constant_values=-1).reshape(-1, LANES)


def aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Returns zeros whose first byte is at a multiple of 64."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)
