"""A transformer block of `DualAR` fused into few calls around quantized matrices.

Reading 8-bit weights takes half a millisecond per layer, and forty small operations around them take as long again.
Norms are folded into the matrices that follow, and positions rotate as complex numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.lm.blocks import Attend, DualARBlock
from backend.nn.rope import RopeTable


class RotaryCache:
    """The rotary table of the current step as complex numbers, built once for all layers of a stack."""

    def __init__(self) -> None:
        self._cos: Tensor | None = None
        self._rotations = torch.empty(0)

    def rotations(self, table: RopeTable) -> Tensor:
        if table.cos is not self._cos:
            self._cos, self._rotations = table.cos, torch.complex(table.cos, table.sin)
        return self._rotations


class FusedBlock(nn.Module):
    """Computes what its `DualARBlock` does, up to the rounding of `make_matrix`; inference only."""

    def __init__(self, block: DualARBlock, make_matrix: Callable[..., Any], table: RotaryCache):
        super().__init__()
        attention, feed_forward = block.attention, block.feed_forward
        self.n_heads, self.n_kv_heads = attention.n_heads, attention.n_kv_heads
        self.head_dim, self.table = attention.head_dim, table
        self.dim, self.hidden_dim = feed_forward.w13.in_features, feed_forward.w2.in_features
        norm, ffn_norm = block.attention_norm, block.ffn_norm
        self.qkv = make_matrix(attention.wqkv.weight, norm.weight, norm.eps)
        self.out = make_matrix(attention.wo.weight)
        self.gate_up = make_matrix(feed_forward.w13.weight, ffn_norm.weight, ffn_norm.eps)
        self.down = make_matrix(feed_forward.w2.weight)
        self.qkv_bias, self.out_bias = (
            None if b is None else b.detach() for b in (attention.wqkv.bias, attention.wo.bias)
        )
        self.head_norm = None
        if attention.has_qk_norm:
            weights = [attention.q_norm.weight] * self.n_heads + [attention.k_norm.weight] * self.n_kv_heads
            self.head_norm = torch.stack(weights).detach().float() * math.sqrt(self.head_dim)
            self.head_floor = torch.tensor(math.sqrt(self.head_dim * attention.q_norm.eps))

    def forward(self, x: Tensor, table: RopeTable, attend: Attend, layer: int) -> Tensor:
        shape, rows = x.shape, x.reshape(-1, x.shape[-1])
        heads = self.qkv(rows)
        if self.qkv_bias is not None:
            heads += self.qkv_bias
        n_rotated = self.n_heads + self.n_kv_heads
        heads = heads.view(*shape[:-1], n_rotated + self.n_kv_heads, self.head_dim)
        rotated = heads[..., :n_rotated, :]
        if self.head_norm is not None:
            length = torch.linalg.vector_norm(rotated, 2, -1, True).hypot_(self.head_floor)
            rotated = rotated.div(length).mul_(self.head_norm)
        pairs = torch.view_as_complex(rotated.unflatten(-1, (-1, 2)))
        rotated = torch.view_as_real(pairs * self.table.rotations(table)).flatten(-2)
        y = attend(layer, rotated[..., : self.n_heads, :], rotated[..., self.n_heads :, :], heads[..., n_rotated:, :])
        y = self.out(y.reshape(len(rows), -1))
        if self.out_bias is not None:
            y += self.out_bias
        y += rows
        gate, up = self.gate_up(y).chunk(2, dim=-1)
        return y.add_(self.down(F.silu(gate).mul_(up))).view(shape)
