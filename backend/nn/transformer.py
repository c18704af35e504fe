"""A pre-norm transformer with a sliding attention window of `window` frames."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.nn.norms import LayerScale, RMSNorm
from backend.nn.rope import RopeTable, rope_table, rotate


@dataclass(slots=True)
class AttentionState:
    """The last `window - 1` keys and values [B, H, window - 1, d], newest at the end."""

    keys: Tensor
    values: Tensor


@dataclass(slots=True)
class TransformerState:
    """State of a batch of streams. `position` [B] counts the frames of each row.

    `n_past` is an upper bound of the cached frames of any row, so that attention reads only the used part without
    reading `position` back from the device.
    """

    layers: list[AttentionState]
    position: Tensor
    n_past: int = 0


def window_attention(q: Tensor, k: Tensor, v: Tensor, window: int, first_key: Tensor | None = None) -> Tensor:
    """Attends from `q` [B, H, T, d] to `k`, `v` [B, H, P + T, d]: query t sees keys P + t - window + 1 ... P + t.

    `first_key` [B] masks the keys before it, per row. Runs in blocks of `window` queries, so cost and masks grow with T
    * window, not T * T.
    """
    n_past, n_queries = k.shape[2] - q.shape[2], q.shape[2]
    if first_key is None and n_past == 0 and n_queries <= window:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    outputs = []
    for start in range(0, n_queries, window):
        end = min(start + window, n_queries)
        low = max(0, n_past + start - window + 1)
        key = torch.arange(low, n_past + end, device=q.device)
        query = torch.arange(n_past + start, n_past + end, device=q.device)[:, None]
        mask = (key <= query) & (key > query - window)
        if first_key is not None:
            mask = mask & (key >= first_key[:, None, None, None])
        block = slice(low, n_past + end)
        outputs.append(F.scaled_dot_product_attention(q[:, :, start:end], k[:, :, block], v[:, :, block], mask))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=2)


class WindowAttention(nn.Module):
    def __init__(self, dim: int, n_heads: int, head_dim: int, window: int):
        super().__init__()
        self.n_heads, self.head_dim, self.window = n_heads, head_dim, window
        self.qkv = nn.Linear(dim, 3 * n_heads * head_dim, bias=False)
        self.out = nn.Linear(n_heads * head_dim, dim, bias=False)

    def forward(
        self, x: Tensor, table: RopeTable, state: AttentionState | None, n_past: int, first_key: Tensor | None
    ) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, self.n_heads, self.head_dim)).unbind(2)
        q, k, v = rotate(q, table).transpose(1, 2), rotate(k, table).transpose(1, 2), v.transpose(1, 2)
        if state is not None:
            n_cached = self.window - 1
            k = torch.cat([state.keys[:, :, n_cached - n_past :], k], dim=2)
            v = torch.cat([state.values[:, :, n_cached - n_past :], v], dim=2)
            n_kept = min(n_cached, k.shape[2])
            state.keys[:, :, n_cached - n_kept :] = k[:, :, k.shape[2] - n_kept :]
            state.values[:, :, n_cached - n_kept :] = v[:, :, v.shape[2] - n_kept :]
        y = window_attention(q, k, v, self.window, first_key)
        return self.out(y.transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, dim: int, hidden_dim: int):
        super().__init__()
        self.gate = nn.Linear(dim, hidden_dim, bias=False)
        self.up = nn.Linear(dim, hidden_dim, bias=False)
        self.down = nn.Linear(hidden_dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class TransformerBlock(nn.Module):
    def __init__(self, dim: int, n_heads: int, head_dim: int, hidden_dim: int, window: int, eps: float):
        super().__init__()
        self.attention_norm = RMSNorm(dim, eps)
        self.attention = WindowAttention(dim, n_heads, head_dim, window)
        self.attention_scale = LayerScale(dim)
        self.mlp_norm = RMSNorm(dim, eps)
        self.mlp = SwiGLU(dim, hidden_dim)
        self.mlp_scale = LayerScale(dim)

    def forward(
        self, x: Tensor, table: RopeTable, state: AttentionState | None, n_past: int, first_key: Tensor | None
    ) -> Tensor:
        x = x + self.attention_scale(self.attention(self.attention_norm(x), table, state, n_past, first_key))
        return x + self.mlp_scale(self.mlp(self.mlp_norm(x)))


class WindowTransformer(nn.Module):
    """Transformer blocks with LayerScale and a final norm over frames [B, D, T]; `TransformerState` makes it stream
    exactly.
    """

    def __init__(
        self, dim: int, n_layers: int, n_heads: int, head_dim: int, hidden_dim: int, window: int,
        rope_base: float = 10_000.0, eps: float = 1e-5,
    ):  # fmt: skip
        super().__init__()
        self.head_dim, self.window, self.rope_base = head_dim, window, rope_base
        self.blocks = nn.ModuleList(
            TransformerBlock(dim, n_heads, head_dim, hidden_dim, window, eps) for _ in range(n_layers)
        )
        self.norm = RMSNorm(dim, eps)

    def init_state(self, batch: int) -> TransformerState:
        weight = self.norm.weight
        shape = (batch, self.blocks[0].attention.n_heads, self.window - 1, self.head_dim)
        layers = [AttentionState(weight.new_zeros(shape), weight.new_zeros(shape)) for _ in self.blocks]
        return TransformerState(layers, torch.zeros(batch, dtype=torch.long, device=weight.device))

    def forward(self, x: Tensor, state: TransformerState | None = None) -> Tensor:
        x = x.transpose(1, 2)
        positions = torch.arange(x.shape[1], device=x.device)[None]
        first_key, n_past = None, 0
        if state is not None:
            positions = state.position[:, None] + positions
            n_past = state.n_past
            first_key = (n_past - state.position).clamp(min=0)
        table = rope_table(positions, self.head_dim, self.rope_base)
        for index, block in enumerate(self.blocks):
            x = block(x, table, None if state is None else state.layers[index], n_past, first_key)
        if state is not None:
            state.position += x.shape[1]
            state.n_past = min(n_past + x.shape[1], self.window - 1)
        return self.norm(x).transpose(1, 2)
