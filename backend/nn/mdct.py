"""The lowest coefficients of a modified discrete cosine transform, and back: critically sampled, frames overlap by half.

Frame t covers samples (t - 1) * hop ... (t + 1) * hop - 1; analysis and synthesis together delay the sound by one hop.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.nn.lapped import LapState


class _Basis(nn.Module):
    basis: Tensor  # [2 * hop, n_coefficients], windowed cosines of unit norm

    def __init__(self, hop_samples: int, n_coefficients: int):
        super().__init__()
        if not 1 <= n_coefficients <= hop_samples:
            raise ValueError(f"{n_coefficients} coefficients of a transform with {hop_samples}")
        self.hop_samples = hop_samples
        time = torch.arange(2 * hop_samples, dtype=torch.float64) + 0.5
        frequency = torch.arange(n_coefficients, dtype=torch.float64) + 0.5
        window = torch.sin(torch.pi / (2 * hop_samples) * time)
        angles = torch.pi / hop_samples * torch.outer(time + hop_samples / 2, frequency)
        basis = window[:, None] * angles.cos() * (2 / hop_samples) ** 0.5
        self.register_buffer("basis", basis.float(), persistent=False)

    def init_state(self, batch: int) -> LapState:
        return LapState(self.basis.new_zeros(batch, self.hop_samples))


class MdctAnalysis(_Basis):
    """Samples [B, T * hop] to the lowest coefficients [B, T, n]; noise of variance 1 has coefficients of variance 1."""

    def forward(self, samples: Tensor, state: LapState | None = None) -> Tensor:
        if state is None:
            samples = F.pad(samples, (self.hop_samples, 0))
        else:
            samples = torch.cat([state.past, samples], dim=1)
            state.past.copy_(samples[:, samples.shape[1] - self.hop_samples :])
        return samples.unfold(1, 2 * self.hop_samples, self.hop_samples) @ self.basis


class MdctSynthesis(_Basis):
    """Coefficients [B, T, n] to samples [B, T * hop]: the inverse of `MdctAnalysis`, one hop late."""

    def forward(self, coefficients: Tensor, state: LapState | None = None) -> Tensor:
        heads, tails = (coefficients @ self.basis.T).split(self.hop_samples, dim=2)
        first = torch.zeros_like(tails[:, 0]) if state is None else state.past.clone()
        if state is not None:
            state.past.copy_(tails[:, -1])
        return (heads + torch.cat([first[:, None], tails[:, :-1]], dim=1)).flatten(1)
