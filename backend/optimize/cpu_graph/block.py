"""Transformer blocks bound to fixed buffers: a list of calls built once and run for every frame.

A PyTorch call costs microseconds of overhead, and a frame needs about a thousand. Here matmuls and gates are PyTorch
calls and the rest NumPy calls on the same memory, with few allocations and lookups.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import nn

from backend.lm.blocks import DualARBlock
from backend.optimize.cpu_graph.matmul import Call, FloatMatrix, NormedMatrix, Scratch, cpu_graph_matrix, lengths
from backend.optimize.lowbit.fused_block import FusedBlock


class BlockMatrices:
    """The weights of a plain `DualARBlock` without biases and head norms, or of a `FusedBlock` with them."""

    def __init__(self, block: DualARBlock | FusedBlock):
        layer = block if isinstance(block, FusedBlock) else block.attention
        self.n_heads, self.n_kv_heads, self.head_dim = layer.n_heads, layer.n_kv_heads, layer.head_dim
        self.qkv_bias = self.out_bias = self.head_norm = None
        if isinstance(block, FusedBlock):
            self.dim, self.hidden_dim = block.dim, block.hidden_dim
            self.qkv, self.out = cpu_graph_matrix(block.qkv), cpu_graph_matrix(block.out)
            self.gate_up, self.down = cpu_graph_matrix(block.gate_up), cpu_graph_matrix(block.down)
            self.qkv_bias, self.out_bias = (None if b is None else b.numpy() for b in (block.qkv_bias, block.out_bias))
            if block.head_norm is not None:
                self.head_norm, self.head_floor = block.head_norm.numpy(), float(block.head_floor) ** 2
            return
        attention, feed_forward = block.attention, block.feed_forward
        self.dim, self.hidden_dim = feed_forward.w13.in_features, feed_forward.w2.in_features
        self.qkv = NormedMatrix(block.attention_norm, _bind(attention, "wqkv"))
        self.out = _bind(attention, "wo")
        self.gate_up = NormedMatrix(block.ffn_norm, _bind(feed_forward, "w13"))
        self.down = _bind(feed_forward, "w2")


def _bind(layer: nn.Module, name: str) -> FloatMatrix:
    """Binds the matrix of a linear layer, and replaces the layer if that is faster: prefill then takes less than half
    the time.
    """
    matrix = FloatMatrix(getattr(layer, name))
    if matrix.multiply is not None:
        setattr(layer, name, matrix)
    return matrix


class RowBuffers:
    """Buffers of B rows passing through a stack; arrays and tensors share memory."""

    def __init__(self, like: BlockMatrices, B: int):
        n_heads, n_kv, d = like.n_heads, like.n_kv_heads, like.head_dim
        self.x, self.scratch = torch.zeros(B, like.dim), Scratch()
        self.qkv = torch.zeros(B, (n_heads + 2 * n_kv) * d)
        self.attended = torch.zeros(B, n_heads * d)
        self.gate_up = torch.zeros(B, 2 * like.hidden_dim)
        self.hidden = torch.zeros(B, like.hidden_dim)
        heads = self.qkv.numpy().reshape(B, n_heads + 2 * n_kv, d)
        # Queries and keys, also as complex numbers [B, H + H_kv, d / 2], so that one multiplication rotates them.
        self.rotated = heads[:, : n_heads + n_kv]
        self.pairs = self.rotated.view(np.complex64)
        self.q = self.qkv[:, : n_heads * d].view(B, n_kv, n_heads // n_kv, d)
        self.kv = heads[:, n_heads:].reshape(B, 2, n_kv, d).transpose(1, 0, 2, 3)  # [2, B, H_kv, d]
        self.attended_heads = self.attended.view(B, n_kv, n_heads // n_kv, d)

    def heads(self, block: BlockMatrices, rotations: np.ndarray) -> Iterator[Call]:
        """Computes qkv of x and rotates queries and keys by `rotations`, complex [..., H + H_kv, d / 2]."""
        yield from block.qkv.into(self.x, self.qkv, self.scratch)
        if block.qkv_bias is not None:
            yield partial(np.add, self.qkv.numpy(), block.qkv_bias, self.qkv.numpy())
        if block.head_norm is not None:
            length = self.scratch.zeros("head length", *self.rotated.shape[:2], 1).numpy()
            yield from lengths(self.rotated, block.head_floor, length)
            yield partial(np.divide, self.rotated, length, self.rotated)
            yield partial(np.multiply, self.rotated, block.head_norm, self.rotated)
        yield partial(np.multiply, self.pairs, rotations, self.pairs)

    def rest(self, block: BlockMatrices) -> Iterator[Call]:
        """Adds the attention output and the feed-forward layer to x."""
        gate, up = self.gate_up.chunk(2, dim=-1)
        yield from block.out.add_into(self.attended, self.x, self.scratch)
        if block.out_bias is not None:
            yield partial(np.add, self.x.numpy(), block.out_bias, self.x.numpy())
        yield from block.gate_up.into(self.x, self.gate_up, self.scratch)
        yield partial(torch.ops.aten.silu_.default, gate)
        yield partial(np.multiply, gate.numpy(), up.numpy(), self.hidden.numpy())
        yield from block.down.add_into(self.hidden, self.x, self.scratch)


def run(calls: Sequence[Call]) -> None:
    for call in calls:
        call()
