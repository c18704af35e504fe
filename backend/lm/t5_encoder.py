"""The encoder of T5: token ids to text states."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class T5Norm(nn.Module):
    """RMS norm computed in float32."""

    def __init__(self, dim: int, eps: float):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(dim)), eps

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.float().square().mean(-1, keepdim=True) + self.eps)
        return self.weight * (x.float() * scale).to(x.dtype)


class T5Block(nn.Module):
    """Self attention without scaling, and a feed-forward network; `is_gated` adds GELU gates."""

    def __init__(self, dim: int, n_heads: int, head_dim: int, ffn_dim: int, is_gated: bool, eps: float):
        super().__init__()
        self.n_heads = n_heads
        self.norm, self.ffn_norm = T5Norm(dim, eps), T5Norm(dim, eps)
        self.q, self.k, self.v = (nn.Linear(dim, n_heads * head_dim, bias=False) for _ in range(3))
        self.o = nn.Linear(n_heads * head_dim, dim, bias=False)
        self.wi = nn.Linear(dim, ffn_dim, bias=False)
        self.gate = nn.Linear(dim, ffn_dim, bias=False) if is_gated else None
        self.wo = nn.Linear(ffn_dim, dim, bias=False)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        rows = self.norm(x)
        q, k, v = (p(rows).unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for p in (self.q, self.k, self.v))
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        x = x + self.o(attended.transpose(1, 2).flatten(2))
        rows = self.ffn_norm(x)
        if self.gate is None:
            return x + self.wo(self.wi(rows).relu())
        return x + self.wo(F.gelu(self.wi(rows), approximate="tanh") * self.gate(rows))


class T5Encoder(nn.Module):
    """Encodes ids [B, L] with `mask` [B, L] as states [B, L, dim]."""

    def __init__(
        self, vocab_size: int, dim: int, n_layers: int, n_heads: int, head_dim: int, ffn_dim: int,
        is_gated: bool = False, eps: float = 1e-6, n_buckets: int = 32, max_distance: int = 128,
    ):  # fmt: skip
        super().__init__()
        self.dim, self.n_buckets, self.max_distance = dim, n_buckets, max_distance
        self.embedding = nn.Embedding(vocab_size, dim)
        self.distance_bias = nn.Embedding(n_buckets, n_heads)
        self.blocks = nn.ModuleList([T5Block(dim, n_heads, head_dim, ffn_dim, is_gated, eps) for _ in range(n_layers)])
        self.norm = T5Norm(dim, eps)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        place = torch.arange(ids.shape[1], device=ids.device)
        buckets = distance_buckets(place[None] - place[:, None], self.n_buckets, self.max_distance)
        bias = self.distance_bias(buckets).permute(2, 0, 1)[None]
        bias = bias.masked_fill((mask == 0)[:, None, None], torch.finfo(bias.dtype).min)
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, bias)
        return self.norm(x)


def distance_buckets(distance: Tensor, n_buckets: int, max_distance: int) -> Tensor:
    """Buckets of key position minus query position: one half a direction, exact when near, logarithmic when far."""
    half = n_buckets // 2
    exact = half // 2
    far = distance.abs()
    log = torch.log(far.clamp_min(1).float() / exact) / math.log(max_distance / exact) * (half - exact)
    bucket = torch.where(far < exact, far, (exact + log.long()).clamp_max(half - 1))
    return bucket + half * (distance > 0)
