"""Key-value caches: growing slots per row, reusable prefixes, and the cache of one frame."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.errors import LimitExceeded
from backend.lm.config import StackConfig
from backend.lm.spec import RowPrefix
from backend.nn.rope import RopeTable, rope_table

FIRST_CAPACITY = 128


class SlotCache:
    """Keys and values [L, B, H_kv, capacity, d] of the slow stack, one slot per row.

    The capacity doubles as the longest row grows, up to `max_frames`; attention reads each row's own used prefix.
    `n_spare` scratch positions after the capacity belong to no row and may be overwritten.
    """

    def __init__(
        self, config: StackConfig, batch: int, max_frames: int, dtype: torch.dtype, device: torch.device | str,
        n_spare: int = 0,
    ):  # fmt: skip
        self.config, self.max_frames, self.n_spare = config, max_frames, n_spare
        self.lengths = [0] * batch
        shape = (config.n_layers, batch, config.n_kv_heads, n_spare, config.head_dim)
        self.keys = torch.empty(shape, dtype=dtype, device=device)
        self.values = torch.empty(shape, dtype=dtype, device=device)
        self.table = RopeTable(*(torch.empty(0, 1, config.head_dim // 2, device=device) for _ in range(2)))

    @property
    def capacity(self) -> int:
        return self.keys.shape[3] - self.n_spare

    def reserve(self, n_frames: int) -> None:
        """Grows every slot to at least `n_frames`. Raises `LimitExceeded` beyond `max_frames`."""
        if n_frames <= self.capacity:
            return
        if n_frames > self.max_frames:
            raise LimitExceeded(
                f"The prompt and the speech after it need {n_frames} frames; the limit is {self.max_frames}. "
                "Shorten the text or the reference, or allow longer sequences."
            )
        capacity = min(max(FIRST_CAPACITY, 2 * self.capacity, n_frames), self.max_frames)
        used = max(self.lengths, default=0)
        for name in ("keys", "values"):
            old = getattr(self, name)
            # Zeros: masked values are still multiplied, and uninitialized memory may hold NaN.
            grown = old.new_zeros(*old.shape[:3], capacity + self.n_spare, old.shape[4])
            grown[:, :, :, :used] = old[:, :, :, :used]
            setattr(self, name, grown)
        positions = torch.arange(capacity, device=self.keys.device)[None]
        cos, sin = rope_table(positions, self.config.head_dim, self.config.rope_base)
        self.table = RopeTable(cos[0], sin[0])

    def copy_prefix(self, row: int, n_frames: int | None, conditioning: Tensor | None) -> RowPrefix:
        n = self.lengths[row] if n_frames is None else n_frames
        if not 0 <= n <= self.lengths[row]:
            raise ValueError(f"n_frames is {n}; the row holds {self.lengths[row]}")
        return RowPrefix(self.keys[:, row, :, :n].clone(), self.values[:, row, :, :n].clone(), conditioning)

    def load_prefix(self, row: int, prefix: RowPrefix) -> None:
        self.reserve(prefix.n_frames)
        self.keys[:, row, :, : prefix.n_frames] = prefix.keys
        self.values[:, row, :, : prefix.n_frames] = prefix.values
        self.lengths[row] = prefix.n_frames

    def attend_prefill(self, row: int, n_new: int) -> AttendPrefill:
        self.reserve(self.lengths[row] + n_new)
        return AttendPrefill(self, row, n_new)

    def attend_step(self, rows: Sequence[int]) -> AttendStep:
        self.reserve(1 + max(self.lengths[row] for row in rows))
        return AttendStep(self, rows)


def prefers_masking(device: torch.device) -> bool:
    """Returns whether reading some masked frames is cheaper than one small kernel per row."""
    return device.type != "cpu"


class AttendPrefill:
    """Attention of new frames [S, H, d] of one row to themselves and to that row's past."""

    def __init__(self, cache: SlotCache, row: int, n_new: int):
        past = cache.lengths[row]
        self.end = past + n_new
        self.new = slice(past, self.end)
        self.keys, self.values = cache.keys[:, row], cache.values[:, row]
        self.table = RopeTable(*(wave[self.new] for wave in cache.table))
        self.mask = None
        if past and n_new > 1:
            device = cache.keys.device
            query = torch.arange(past, self.end, device=device)[:, None]
            self.mask = torch.arange(self.end, device=device) <= query
        self.is_causal = past == 0

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        keys, values = self.keys[layer], self.values[layer]
        keys[:, self.new], values[:, self.new] = k.transpose(0, 1), v.transpose(0, 1)
        y = F.scaled_dot_product_attention(
            q.transpose(0, 1)[None].to(keys.dtype), keys[None, :, : self.end], values[None, :, : self.end],
            self.mask, is_causal=self.is_causal, enable_gqa=q.shape[1] != k.shape[1],
        )  # fmt: skip
        return y[0].transpose(0, 1).to(q.dtype)


class AttendStep:
    """Attention of one new frame [B, H, d] in each of `rows` to that row's past."""

    def __init__(self, cache: SlotCache, rows: Sequence[int]):
        self.cache, self.rows = cache, list(rows)
        self.positions = [cache.lengths[row] for row in rows]
        device = cache.keys.device
        self.row_index = torch.tensor(self.rows, device=device)
        self.position_index = torch.tensor(self.positions, device=device)
        self.table = RopeTable(*(wave[self.position_index] for wave in cache.table))
        self.mask = None
        if prefers_masking(device) and len(self.rows) > 1:
            self.longest = 1 + max(self.positions)
            self.mask = torch.arange(self.longest, device=device) <= self.position_index[:, None, None, None]

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        keys, values = self.cache.keys[layer], self.cache.values[layer]
        grouped = q.unflatten(1, (k.shape[1], -1)).to(keys.dtype)  # heads that share keys become extra queries
        if len(self.rows) == 1:
            row, position = self.rows[0], self.positions[0]
            keys[row, :, position], values[row, :, position] = k[0], v[0]
            y = attend_row(grouped[0], keys[row, :, : position + 1], values[row, :, : position + 1])
            return y[None].flatten(1, 2).to(q.dtype)
        keys[self.row_index, :, self.position_index] = k.to(keys.dtype)
        values[self.row_index, :, self.position_index] = v.to(values.dtype)
        if self.mask is not None:
            past_keys, past_values = (past[self.row_index, :, : self.longest] for past in (keys, values))
            y = F.scaled_dot_product_attention(grouped, past_keys, past_values, self.mask)
            return y.flatten(1, 2).to(q.dtype)
        y = torch.stack(
            [
                attend_row(grouped[i], keys[row, :, : position + 1], values[row, :, : position + 1])
                for i, (row, position) in enumerate(zip(self.rows, self.positions, strict=True))
            ]
        )
        return y.flatten(1, 2).to(q.dtype)


def attend_row(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attends q [H_kv, r, d], grouped by shared keys, to `keys` and `values` [H_kv, n, d]; returns [H_kv, r, d]."""
    if q.dtype != torch.float32 or q.device.type != "cpu":
        return F.scaled_dot_product_attention(q[None], keys[None], values[None])[0]
    # The tall-by-wide product (keys times queries) takes 8.5 ms in 28 layers for a past of 1,000 frames; the fused
    # kernel, made for many queries, takes 11.5 ms (two cores).
    scores = torch.bmm(keys, (q * q.shape[-1] ** -0.5).transpose(1, 2)).transpose(1, 2)
    return torch.bmm(scores.contiguous().softmax(dim=-1), values)


class FrameCache:
    """Keys and values [L, B, H_kv, C, d] of the fast stack within one frame; every frame overwrites them."""

    def __init__(self, config: StackConfig, batch: int, n_codebooks: int, dtype: torch.dtype, device: torch.device):
        shape = (config.n_layers, batch, config.n_kv_heads, n_codebooks, config.head_dim)
        self.keys = torch.empty(shape, dtype=dtype, device=device)
        self.values = torch.empty(shape, dtype=dtype, device=device)
        cos, sin = rope_table(torch.arange(n_codebooks, device=device)[None], config.head_dim, config.rope_base)
        self.table = RopeTable(cos[0], sin[0])
        self.position_tables = [RopeTable(self.table.cos[k], self.table.sin[k]) for k in range(n_codebooks)]

    def attend_first(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attends positions 0 and 1 together: q [B, 2, H, d]."""
        B, n = q.shape[:2]
        q, k, v = (heads.transpose(1, 2) for heads in (q, k, v))
        self.keys[layer, :B, :, :n], self.values[layer, :B, :, :n] = k, v
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=q.shape[1] != k.shape[1])
        return y.transpose(1, 2)

    def attend_at(self, position: int) -> AttendAt:
        return AttendAt(self, position)


class AttendAt:
    """Attention of `position` [B, H, d] to the positions of its frame up to it."""

    def __init__(self, cache: FrameCache, position: int):
        self.cache, self.position = cache, position

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        B, end = q.shape[0], self.position + 1
        keys, values = self.cache.keys[layer, :B], self.cache.values[layer, :B]
        keys[:, :, self.position], values[:, :, self.position] = k, v
        grouped = q.unflatten(1, (k.shape[1], -1))
        y = F.scaled_dot_product_attention(grouped, keys[:, :, :end], values[:, :, :end])
        return y.flatten(1, 2)
