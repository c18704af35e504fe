"""When the codebooks come in: after the latents have spread out, not before."""

from __future__ import annotations


class Plateau:
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
