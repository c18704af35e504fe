"""Transformer blocks bound to buffers: what a position needs, as a list of calls made once and run for every frame.

A call of PyTorch costs microseconds whatever it computes, and a small voice needs a thousand of them a frame. Here
products and gates are PyTorch's, everything between them NumPy's, on the same memory; nothing is allocated or looked up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from backend.lm.blocks import Block
from backend.nn.norms import RMSNorm
from backend.optimize.quantized_products import half_product, has_half_product, whole_rows

Call = Callable[[], object]


class Matrix(nn.Module):
    """x W^T of float32 rows, up to rounding what `linear` without its bias gives.

    Weights that were stored as 8-bit rows are kept as the whole numbers they were, exact in 16 bits, and their scales:
    half the memory to read.
    """

    def __init__(self, linear: nn.Linear):
        super().__init__()
        weight = linear.weight.detach()
        self.n_out = linear.out_features
        whole = whole_rows(weight) if has_half_product() else None
        if whole is None:
            # Stored by inputs: one row then takes a third less. The layer goes on with the same memory.
            self.columns = weight.t().contiguous()
            linear.weight = nn.Parameter(self.columns.t(), requires_grad=False)
            self.multiply = None
        else:
            numbers, scales = whole
            self.multiply, self.scales = half_product(numbers), scales.numpy()

    def into(self, rows: Tensor, out: Tensor) -> Iterator[Call]:
        """out = rows W^T"""
        if self.multiply is None:
            yield partial(torch.mm, rows, self.columns, out=out)
            return
        y = out.numpy()
        yield partial(self.multiply, rows, out)
        yield partial(np.multiply, y, self.scales, y)

    def added(self, rows: Tensor, out: Tensor) -> Iterator[Call]:
        """out += rows W^T"""
        if self.multiply is None:
            yield partial(out.addmm_, rows, self.columns)
            return
        product = torch.zeros_like(out)
        yield from self.into(rows, product)
        yield partial(np.add, out.numpy(), product.numpy(), out.numpy())

    def forward(self, x: Tensor) -> Tensor:
        """[..., n_in] to [..., n_out], as a layer."""
        out = x.new_empty(*x.shape[:-1], self.n_out)
        run(self.into(x.flatten(0, -2), out.flatten(0, -2)))
        return out


class BlockMatrices:
    """The weights of a `Block` without biases and without norms of heads."""

    def __init__(self, block: Block):
        attention, feed_forward = block.attention, block.feed_forward
        self.n_heads, self.n_kv_heads = attention.n_heads, attention.n_kv_heads
        self.head_dim = attention.head_dim
        self.dim, self.hidden_dim = feed_forward.w13.in_features, feed_forward.w2.in_features
        self.attention_norm, self.ffn_norm = block.attention_norm, block.ffn_norm
        self.qkv, self.out = _bound(attention, "wqkv"), _bound(attention, "wo")
        self.gate_up, self.down = _bound(feed_forward, "w13"), _bound(feed_forward, "w2")


def _bound(part: nn.Module, name: str) -> Matrix:
    """The matrix of a layer, which takes its place if it is faster: a prompt is then read in less than half the time."""
    matrix = Matrix(getattr(part, name))
    if matrix.multiply is not None:
        setattr(part, name, matrix)
    return matrix


class RowBuffers:
    """Memory of B rows on their way through a stack; its arrays and tensors are the same memory."""

    def __init__(self, like: BlockMatrices, B: int):
        n_heads, n_kv, d = like.n_heads, like.n_kv_heads, like.head_dim
        self.x = torch.zeros(B, like.dim)
        self.normed = torch.zeros(B, like.dim)
        self.qkv = torch.zeros(B, (n_heads + 2 * n_kv) * d)
        self.attended = torch.zeros(B, n_heads * d)
        self.gate_up = torch.zeros(B, 2 * like.hidden_dim)
        self.hidden = torch.zeros(B, like.hidden_dim)
        heads = self.qkv.numpy().reshape(B, n_heads + 2 * n_kv, d)
        # Queries and keys as complex numbers [B, H + H_kv, d / 2], which turn by a product.
        self.pairs = heads[:, : n_heads + n_kv].view(np.complex64)
        self.q = self.qkv[:, : n_heads * d].view(B, n_kv, n_heads // n_kv, d)
        self.kv = heads[:, n_heads:].reshape(B, 2, n_kv, d).transpose(1, 0, 2, 3)  # [2, B, H_kv, d]
        self.attended_heads = self.attended.view(B, n_kv, n_heads // n_kv, d)

    def norm(self, norm: RMSNorm) -> Iterator[Call]:
        """normed = the norm of x"""
        x, normed = self.x.numpy(), self.normed.numpy()
        n_in = x.shape[1]
        # Divided by its length instead of the root of its mean square, one call less.
        weight = norm.weight.detach().numpy() * np.float32(math.sqrt(n_in))
        square = np.zeros((len(x), 1, 1), np.float32)
        length = square[:, 0]
        yield partial(np.matmul, x[:, None], x[:, :, None], square)
        yield partial(np.add, length, np.float32(n_in * norm.eps), length)
        yield partial(np.sqrt, length, length)
        yield partial(np.divide, x, length, normed)
        yield partial(np.multiply, normed, weight, normed)

    def heads(self, block: BlockMatrices, turns: np.ndarray) -> Iterator[Call]:
        """qkv of x, turned by `turns`, complex [..., H + H_kv, d / 2]"""
        yield from self.norm(block.attention_norm)
        yield from block.qkv.into(self.normed, self.qkv)
        yield partial(np.multiply, self.pairs, turns, self.pairs)

    def rest(self, block: BlockMatrices) -> Iterator[Call]:
        """x after what was attended to and the feed-forward layer"""
        gate, up = self.gate_up.chunk(2, dim=-1)
        yield from block.out.added(self.attended, self.x)
        yield from self.norm(block.ffn_norm)
        yield from block.gate_up.into(self.normed, self.gate_up)
        yield partial(torch.ops.aten.silu_.default, gate)
        yield partial(np.multiply, gate.numpy(), up.numpy(), self.hidden.numpy())
        yield from block.down.added(self.hidden, self.x)


def run(calls: Iterable[Call]) -> None:
    for call in calls:
        call()
