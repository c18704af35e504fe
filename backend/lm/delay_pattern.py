"""Codebook delay patterns: codebook k of a frame is predicted `delays[k]` steps after the frame's first codebook."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

TO_PREDICT = -1


def delay_table(prompt: Tensor, n_frames: int, delays: Sequence[int], pad_id: int) -> Tensor:
    """Returns the inputs [B, K, 1 + T + max delay] of all steps for `prompt` [B, K, P] continued to `n_frames` = T.

    Step 0 and places outside the T frames hold `pad_id`; places to predict hold -1.
    """
    B, K, P = prompt.shape
    table = torch.full((B, K, 1 + n_frames + max(delays)), pad_id, dtype=torch.long, device=prompt.device)
    for k, delay in enumerate(delays):
        start = 1 + delay
        table[:, k, start : start + P] = prompt[:, k]
        table[:, k, start + P : start + n_frames] = TO_PREDICT
    return table


def without_delays(table: Tensor, delays: Sequence[int]) -> Tensor:
    """Returns the frames [B, K, T] of a filled table [B, K, 1 + T + max delay]."""
    n_frames = table.shape[2] - 1 - max(delays)
    return torch.stack([table[:, k, 1 + d : 1 + d + n_frames] for k, d in enumerate(delays)], 1)


def stereo_delays(n_codebooks: int) -> tuple[int, ...]:
    """Delays of interleaved stereo codebooks L0, R0, L1, R1, ...: 0, 0, 1, 1, ..."""
    return tuple(k // 2 for k in range(n_codebooks))
