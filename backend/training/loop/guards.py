"""What keeps one bad moment from ending a run: steps that are skipped, and runs that are rolled back."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import median

import torch
from torch import Tensor

MIN_HISTORY = 5


def guarded_step(optimizer: torch.optim.Optimizer, parameters: Iterable[Tensor], clip: float) -> tuple[Tensor, Tensor]:
    """Clip the gradients and take a step, unless a gradient is not finite.

    Returns the gradient norm before clipping and 1.0 if the step was skipped. The decision is taken on the device
    (`found_inf` of a fused optimiser), so nothing waits for it; weights and moments of a skipped step stay as they were.
    """
    norm = torch.nn.utils.clip_grad_norm_(list(parameters), clip)
    skipped = (~norm.isfinite()).float()
    optimizer.found_inf = skipped  # type: ignore[attr-defined]
    optimizer.step()
    return norm, skipped


class DivergenceGuard:
    """Watches the mean loss of log intervals against their running median."""

    def __init__(self, max_loss_ratio: float, window: int):
        self.max_loss_ratio, self.window = max_loss_ratio, window
        self.history: list[float] = []

    def is_diverged(self, loss: float) -> bool:
        """Judge the next interval: NaN (every step skipped), or far above the median of those before."""
        if not math.isfinite(loss):
            return True
        if len(self.history) >= MIN_HISTORY and loss > self.max_loss_ratio * median(self.history):
            return True
        self.history = [*self.history, loss][-self.window :]
        return False

    def reset(self) -> None:
        """Forget the past, where the loss is expected to jump: codebooks switched on, a new phase."""
        self.history = []


class CollapseGuard:
    """Watches codebook perplexities: a codebook that stays below a share of its size has collapsed."""

    def __init__(self, min_ratio: float, patience: int):
        self.min_ratio, self.patience = min_ratio, patience
        self.n_bad = 0

    def is_collapsed(self, perplexities: Iterable[float], sizes: Iterable[int], n_frames: int) -> bool:
        """Judge the next interval, whose codes come from `n_frames` frames."""
        is_bad = any(
            perplexity < max(self.min_ratio * min(size, n_frames), 1.5)
            for perplexity, size in zip(perplexities, sizes, strict=True)
        )
        self.n_bad = self.n_bad + 1 if is_bad else 0
        return self.n_bad >= self.patience


class PlateauDetector:
    """Watches the effective dimension of the latents during training without codebooks.

    Codebooks placed while the latents use a few directions keep them there; so wait until that number
    has not grown by `min_growth` (relative) for `patience` checks.
    """

    def __init__(self, min_growth: float, patience: int):
        self.min_growth, self.patience = min_growth, patience
        self.best = 0.0
        self.n_flat = 0

    def is_reached(self, effective_dimension: float) -> bool:
        """Take the next measurement."""
        if effective_dimension > self.best * (1.0 + self.min_growth):
            self.best, self.n_flat = effective_dimension, 0
        else:
            self.n_flat += 1
        return self.n_flat >= self.patience
