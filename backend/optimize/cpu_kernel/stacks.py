"""The slow and the fast stack of a quantized `DualAR` as tables for the kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from backend.lm.dual_ar import DualAR
from backend.lm.kv_cache import SlotCache
from backend.nn.norms import RMSNorm
from backend.nn.rope import rope_table
from backend.optimize.cpu_kernel import layout as at
from backend.optimize.cpu_kernel.buffers import Buffers, padded
from backend.optimize.cpu_kernel.compilation import Functions
from backend.optimize.cpu_kernel.matrices import KernelMatrix
from backend.optimize.lowbit.fused_block import FusedBlock
from backend.optimize.lowbit.int8 import Int8Matrix
from backend.optimize.lowbit.replace_linears import MatrixLinear

FLOAT_BYTES = 4


class KernelStack:
    """Layers, final norm and rotations. `n_positions` bounds the positions of rows."""

    def __init__(
        self, functions: Functions, layers: Sequence[KernelLayer], norm: RMSNorm, n_positions: int, rope_base: float,
        heads: Sequence[KernelMatrix],
    ):  # fmt: skip
        first = layers[0]
        self.functions, self.layers, self.heads, self.n_positions = functions, list(layers), list(heads), n_positions
        self.n_kv_heads, self.head_dim = first.n_kv_heads, first.head_dim
        self.width = padded(first.dim)
        self.table = np.concatenate([layer.words for layer in layers])
        cos, sin = rope_table(torch.arange(n_positions)[None], self.head_dim, rope_base)
        self.rotations = np.ascontiguousarray(torch.stack((cos[0, :, 0], sin[0, :, 0]), dim=-1).numpy())
        # Dividing by the vector's length instead of its root mean square saves an operation.
        self.norm = np.zeros(self.width, np.float32)
        self.norm[: first.dim] = norm.weight.detach().float().numpy() * math.sqrt(first.dim)
        words = self.words = np.zeros(at.STACK_WORDS, np.int64)
        words[at.S_LAYERS], words[at.S_N_LAYERS], words[at.S_WIDTH] = self.table.ctypes.data, len(layers), self.width
        words[at.S_HEADS], words[at.S_KV_HEADS], words[at.S_HEAD_DIM] = first.n_heads, self.n_kv_heads, self.head_dim
        words[at.S_ROTATIONS], words[at.S_NORM] = self.rotations.ctypes.data, self.norm.ctypes.data
        words.view(np.float64)[at.S_NORM_FLOOR] = first.dim * norm.eps

    def buffers(self, n_rows: int) -> Buffers:
        first = self.layers[0]
        n_all = first.n_heads + 2 * first.n_kv_heads
        return Buffers(
            first.dim, n_rows, most_inputs=max(matrix.n_in for matrix in (*first.matrices, *self.heads)),
            n_out=max((matrix.n_out for matrix in self.heads), default=0), qkv=n_all * first.head_dim,
            attended=first.n_heads * first.head_dim, hidden=first.hidden_dim,
            n_shared=first.n_heads // first.n_kv_heads, stack=self.words,
        )  # fmt: skip

    def run(
        self, buffers: Buffers, n_rows: int, slots: Sequence[int], positions: Sequence[int], keys: Tensor,
        values: Tensor, head: KernelMatrix | None, n_out: int,
    ) -> None:  # fmt: skip
        """Runs the layers on `buffers.x`: row i is at `positions[i]` of `slots[i]` of the keys and values.

        `keys` and `values`: float32 [L, slots, H_kv, capacity, d]; the new positions are written. Fills
        `buffers.normed` and `buffers.logits` of the last `n_out` rows.
        """
        assert keys.shape == values.shape and keys.stride() == values.stride() and keys.dtype == torch.float32
        assert keys.stride(4) == 1 and keys.stride(3) == keys.shape[4] == self.head_dim
        assert keys.shape[0] >= len(self.layers) and keys.shape[2] == self.n_kv_heads
        assert min(slots) >= 0 and max(slots) < keys.shape[1], (list(slots), keys.shape)
        assert min(positions) >= 0 and max(positions) < min(keys.shape[3], self.n_positions), positions
        row_bytes = FLOAT_BYTES * keys.stride(1)
        buffers.positions[:n_rows] = positions
        rows = np.asarray(slots, np.int64) * row_bytes
        buffers.keys[:n_rows], buffers.values[:n_rows] = keys.data_ptr() + rows, values.data_ptr() + rows
        job = buffers.job
        job[at.J_LAYER_STRIDE], job[at.J_HEAD_STRIDE] = FLOAT_BYTES * keys.stride(0), FLOAT_BYTES * keys.stride(2)
        buffers.run(self.functions, at.FRAME, n_rows, None if head is None else head.words, n_out)


class KernelLayer:
    """One `FusedBlock` with its matrices in the kernels' layout."""

    def __init__(self, block: FusedBlock, functions: Functions):
        self.n_heads, self.n_kv_heads, self.head_dim = block.n_heads, block.n_kv_heads, block.head_dim
        self.dim, self.hidden_dim = block.dim, block.hidden_dim
        self.qkv = KernelMatrix(block.qkv, functions, block.qkv_bias)
        self.out = KernelMatrix(block.out, functions, block.out_bias)
        self.gate_up = KernelMatrix(block.gate_up, functions, is_gated=True)
        self.down = KernelMatrix(block.down, functions)
        self.matrices = (self.qkv, self.out, self.gate_up, self.down)
        self.words = np.zeros(at.LAYER_WORDS, np.int64)
        for place, matrix in zip((at.L_QKV, at.L_OUT, at.L_GATE_UP, at.L_DOWN), self.matrices, strict=True):
            self.words[place : place + at.MATRIX_WORDS] = matrix.words
        if block.head_norm is not None:
            self.head_norm = np.ascontiguousarray(block.head_norm.numpy())
            self.words[at.L_HEAD_NORM] = self.head_norm.ctypes.data
            self.words.view(np.float64)[at.L_HEAD_FLOOR] = float(block.head_floor) ** 2


def head_matrix(layer: nn.Module, functions: Functions) -> KernelMatrix:
    """Returns a quantized output layer's matrix."""
    assert isinstance(layer, MatrixLinear) and isinstance(layer.matrix, Int8Matrix)
    return KernelMatrix(layer.matrix, functions, layer.bias)


def unsupported_reason(lm: DualAR) -> str | None:
    """Returns why the kernels cannot run `lm`, or None."""
    blocks = [block for stack in (lm.layers, lm.fast_layers) for block in stack]
    if not all(isinstance(block, FusedBlock) and isinstance(block.qkv, Int8Matrix) for block in blocks):
        return "supports int8 layers only"
    return None


def slow_stack(lm: DualAR, functions: Functions) -> KernelStack:
    layers = [KernelLayer(block, functions) for block in lm.layers]
    return KernelStack(
        functions, layers, lm.norm, lm.spec.max_frames, lm.config.rope_base, [head_matrix(lm.head, functions)]
    )


def fast_stack(lm: DualAR, functions: Functions) -> KernelStack:
    layers = [KernelLayer(block, functions) for block in lm.fast_layers]
    outputs = list(lm.fast_output) if lm.config.has_own_fast_tables else [lm.fast_output]
    heads = [head_matrix(output, functions) for output in outputs]
    return KernelStack(functions, layers, lm.fast_norm, lm.spec.n_codebooks, lm.config.rope_base, heads)


def run_rows(
    stack: KernelStack, buffers: Buffers, x: Tensor, cache: SlotCache, slots: Sequence[int], positions: Sequence[int],
    n_out: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Runs rows x [B, D], `MAX_ROWS` at a time; returns the last `n_out` rows' states before and after the norm and
    their logits.
    """
    dim, head, found = x.shape[1], stack.heads[0], []
    for start in range(0, len(x), buffers.n_rows):
        part = slice(start, min(start + buffers.n_rows, len(x)))
        n, wanted = part.stop - part.start, max(0, part.stop - max(part.start, len(x) - n_out))
        buffers.x[:n, :dim] = x[part].numpy()
        stack.run(buffers, n, slots[part], positions[part], cache.keys, cache.values, head if wanted else None, wanted)
        if wanted:
            states = (
                buffers.x[n - wanted : n, :dim],
                buffers.normed[:wanted, :dim],
                buffers.logits[:wanted, : head.n_out],
            )
            found.append([torch.from_numpy(state.copy()) for state in states])
    before, after, logits = (torch.cat(parts) for parts in zip(*found, strict=True))
    return before, after, logits
