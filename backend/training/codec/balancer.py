"""Loss balancing by gradient norms at the waveform."""

from __future__ import annotations

import torch
from torch import Tensor

DECAY = 0.99
EPSILON = 1e-12


class Balancer:
    """Combines losses on the codec's output.

    With `is_balanced`, each loss's gradient is rescaled so that its share of the total equals its weight's share,
    whatever its scale (as in EnCodec, section 3.4); otherwise the weights multiply the losses. Gradients are taken at
    the waveform, so no loss needs another pass through the codec.
    """

    def __init__(self, weights: dict[str, float], is_balanced: bool):
        self.weights = {name: weight for name, weight in weights.items() if weight}
        self.is_balanced = is_balanced
        self.norms: dict[str, Tensor] = {}  # moving averages of the gradient norms

    def total(self, losses: dict[str, Tensor], output: Tensor) -> Tensor:
        """Returns a scalar whose gradient at `output` is the weighted (or balanced) sum."""
        losses = {name: loss for name, loss in losses.items() if name in self.weights}
        if not self.is_balanced:
            return torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum()
        weight_sum = sum(self.weights[name] for name in losses)
        combined = torch.zeros_like(output)
        for name, loss in losses.items():
            (gradient,) = torch.autograd.grad(loss, output, retain_graph=True)
            norm = gradient.norm()
            past = self.norms.get(name, norm)
            self.norms[name] = torch.where(norm.isfinite(), DECAY * past + (1 - DECAY) * norm, past)
            combined += gradient * (self.weights[name] / weight_sum / (self.norms[name] + EPSILON))
        return (output * combined).sum()

    def shares(self, losses: dict[str, Tensor], output: Tensor) -> dict[str, Tensor]:
        """Returns each loss's share of the summed gradient norms in `total`, 0...1. Keeps the graph."""
        norms = {}
        for name, loss in losses.items():
            if name in self.weights:
                (gradient,) = torch.autograd.grad(loss, output, retain_graph=True)
                norms[name] = self.weights[name] * gradient.norm()
                if self.is_balanced:
                    norms[name] = norms[name] / (self.norms.get(name, gradient.norm()) + EPSILON)
        total = torch.stack(list(norms.values())).sum().clamp_min(EPSILON)
        return {name: norm / total for name, norm in norms.items()}
