"""The optimizer of every task, and its learning rate schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from backend.training.loop.config import OptimizerBlock


def build_optimizer(parameters: Sequence[Tensor], block: OptimizerBlock) -> torch.optim.AdamW:
    # Fused: one pass over the weights, and it can skip a step on the device (see guards.guarded_step).
    return torch.optim.AdamW(parameters, lr=block.lr, betas=block.betas, weight_decay=block.weight_decay, fused=True)


def follow_schedule(
    optimizer: torch.optim.Optimizer, block: OptimizerBlock, step: int, total_steps: int, scale: float
) -> float:
    """Sets and returns the learning rate of a step of a phase; `scale` is the reduction by rollbacks."""
    lr = block.lr * scale * warmup_cosine(step, total_steps, block.warmup_steps, block.final_ratio)
    for group in optimizer.param_groups:
        group["lr"] = lr
    return lr


def warmup_cosine(step: int, total_steps: int, warmup_steps: int, final_ratio: float) -> float:
    """Returns the learning rate factor at `step` (from 0), 0...1; `final_ratio` from `total_steps` on."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    share = min((step - warmup_steps) / max(total_steps - warmup_steps, 1), 1.0)
    return final_ratio + (1.0 - final_ratio) * 0.5 * (1.0 + math.cos(math.pi * share))
