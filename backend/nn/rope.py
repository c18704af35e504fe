"""Rotary position embeddings on interleaved pairs (2k, 2k + 1)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class RopeTable(NamedTuple):
    cos: Tensor  # [B or 1, T, 1, d / 2], float32
    sin: Tensor


def rope_table(positions: Tensor, head_dim: int, base: float = 10_000.0) -> RopeTable:
    """Returns cosines and sines for integer `positions` [B, T], or [1, T] for all rows.

    The values are rounded to bfloat16 although the rotation runs in float32: the fish models were trained with such
    tables, and exact ones change their outputs by more than 1e-3.
    """
    pair = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32)
    angles = positions[..., None].float() * (1.0 / base ** (pair / head_dim))
    return RopeTable(*(wave.bfloat16().float().unsqueeze(2) for wave in (angles.cos(), angles.sin())))


def rotate(x: Tensor, table: RopeTable) -> Tensor:
    """Rotates each pair of `x` [B, T, H, d] by the angle of its position."""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    rotated = torch.stack((even * table.cos - odd * table.sin, odd * table.cos + even * table.sin), dim=-1)
    return rotated.flatten(-2).to(x.dtype)
