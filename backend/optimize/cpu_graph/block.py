"""Transformer blocks bound to buffers: what a position needs, as a list of calls made once and run for every frame.

A call of PyTorch costs microseconds whatever it computes, and a voice needs a thousand of them a frame. Here products
and gates are PyTorch's, everything between them NumPy's, on the same memory; little is allocated or looked up.
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
    """The weights of a plain `DualARBlock` without biases and norms of heads, or of a quantized one with them."""

    def __init__(self, block: DualARBlock | FusedBlock):
        part = block if isinstance(block, FusedBlock) else block.attention
        self.n_heads, self.n_kv_heads, self.head_dim = part.n_heads, part.n_kv_heads, part.head_dim
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
        self.qkv = NormedMatrix(block.attention_norm, _bound(attention, "wqkv"))
        self.out = _bound(attention, "wo")
        self.gate_up = NormedMatrix(block.ffn_norm, _bound(feed_forward, "w13"))
        self.down = _bound(feed_forward, "w2")


def _bound(part: nn.Module, name: str) -> FloatMatrix:
    """The matrix of a layer, which takes its place if it is faster: a prompt is then read in less than half the time."""
    matrix = FloatMatrix(getattr(part, name))
    if matrix.multiply is not None:
        setattr(part, name, matrix)
    return matrix


class RowBuffers:
    """Memory of B rows on their way through a stack; its arrays and tensors are the same memory."""

    def __init__(self, like: BlockMatrices, B: int):
        n_heads, n_kv, d = like.n_heads, like.n_kv_heads, like.head_dim
        self.x, self.scratch = torch.zeros(B, like.dim), Scratch()
        self.qkv = torch.zeros(B, (n_heads + 2 * n_kv) * d)
        self.attended = torch.zeros(B, n_heads * d)
        self.gate_up = torch.zeros(B, 2 * like.hidden_dim)
        self.hidden = torch.zeros(B, like.hidden_dim)
        heads = self.qkv.numpy().reshape(B, n_heads + 2 * n_kv, d)
        # Queries and keys, also as complex numbers [B, H + H_kv, d / 2], which turn by a product.
        self.turned = heads[:, : n_heads + n_kv]
        self.pairs = self.turned.view(np.complex64)
        self.q = self.qkv[:, : n_heads * d].view(B, n_kv, n_heads // n_kv, d)
        self.kv = heads[:, n_heads:].reshape(B, 2, n_kv, d).transpose(1, 0, 2, 3)  # [2, B, H_kv, d]
        self.attended_heads = self.attended.view(B, n_kv, n_heads // n_kv, d)

    def heads(self, block: BlockMatrices, turns: np.ndarray) -> Iterator[Call]:
        """qkv of x, turned by `turns`, complex [..., H + H_kv, d / 2]"""
        yield from block.qkv.into(self.x, self.qkv, self.scratch)
        if block.qkv_bias is not None:
            yield partial(np.add, self.qkv.numpy(), block.qkv_bias, self.qkv.numpy())
        if block.head_norm is not None:
            length = self.scratch.zeros("head length", *self.turned.shape[:2], 1).numpy()
            yield from lengths(self.turned, block.head_floor, length)
            yield partial(np.divide, self.turned, length, self.turned)
            yield partial(np.multiply, self.turned, block.head_norm, self.turned)
        yield partial(np.multiply, self.pairs, turns, self.pairs)

    def rest(self, block: BlockMatrices) -> Iterator[Call]:
        """x after what was attended to and the feed-forward layer"""
        gate, up = self.gate_up.chunk(2, dim=-1)
        yield from block.out.added(self.attended, self.x, self.scratch)
        if block.out_bias is not None:
            yield partial(np.add, self.x.numpy(), block.out_bias, self.x.numpy())
        yield from block.gate_up.into(self.x, self.gate_up, self.scratch)
        yield partial(torch.ops.aten.silu_.default, gate)
        yield partial(np.multiply, gate.numpy(), up.numpy(), self.hidden.numpy())
        yield from block.down.added(self.hidden, self.x, self.scratch)


def run(calls: Sequence[Call]) -> None:
    for call in calls:
        call()
