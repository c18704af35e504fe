"""Training guards: skipped steps, rollbacks, collapse and plateau detection."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import median

import torch
from torch import Tensor

MIN_HISTORY = 5


def guarded_step(optimizer: torch.optim.Optimizer, parameters: Iterable[Tensor], clip: float) -> tuple[Tensor, Tensor]:
    """Clips the gradients and takes a step, unless a gradient is not finite.

    Returns the gradient norm before clipping, and 1.0 if the step was skipped. The check stays on the device
    (`found_inf` of a fused optimizer), so nothing synchronizes; a skipped step leaves weights and moments unchanged.
    """
    norm = torch.nn.utils.clip_grad_norm_(list(parameters), clip)
    skipped = (~norm.isfinite()).float()
    optimizer.found_inf = skipped  # type: ignore[attr-defined]
    optimizer.step()
    return norm, skipped


class DivergenceGuard:
    """Compares the mean loss of log intervals with their running median."""

    def __init__(self, max_loss_ratio: float, window: int):
        self.max_loss_ratio, self.window = max_loss_ratio, window
        self.history: list[float] = []

    def is_diverged(self, loss: float) -> bool:
        """Checks the next interval: NaN (every step skipped), or far above the median."""
        if not math.isfinite(loss):
            return True
        if len(self.history) >= MIN_HISTORY and loss > self.max_loss_ratio * median(self.history):
            return True
        self.history = [*self.history, loss][-self.window :]
        return False

    def reset(self) -> None:
        """Clears the history where the loss is expected to jump: codebooks enabled, a new phase."""
        self.history = []


class CollapseGuard:
    """Watches codebook perplexities: a codebook that stays below a fraction of its size has collapsed."""

    def __init__(self, min_ratio: float, patience: int):
        self.min_ratio, self.patience = min_ratio, patience
        self.n_bad = 0

    def is_collapsed(self, perplexities: Iterable[float], sizes: Iterable[int], n_frames: int) -> bool:
        """Checks the next interval, whose codes come from `n_frames` frames."""
        is_bad = any(
            perplexity < max(self.min_ratio * min(size, n_frames), 1.5)
            for perplexity, size in zip(perplexities, sizes, strict=True)
        )
        self.n_bad = self.n_bad + 1 if is_bad else 0
        return self.n_bad >= self.patience


class PlateauDetector:
    """Watches the effective dimension of the latents during training without codebooks.

    Codebooks initialized while the latents use few dimensions keep them there, so wait until it has not grown by
    `min_growth` (relative) for `patience` checks.
    """

    def __init__(self, min_growth: float, patience: int):
        self.min_growth, self.patience = min_growth, patience
        self.best = 0.0
        self.n_flat = 0

    def is_reached(self, effective_dimension: float) -> bool:
        """Adds the next measurement."""
        if effective_dimension > self.best * (1.0 + self.min_growth):
            self.best, self.n_flat = effective_dimension, 0
        else:
            self.n_flat += 1
        return self.n_flat >= self.patience
