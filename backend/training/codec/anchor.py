"""Where the pulses of a recording lie: the phase that makes a harmonic source agree with it.

A decoder cannot know the phase of the pulses it never saw. Judged against a recording whose pulses lie elsewhere, it
learns to blur. So in training the source of each frame is shifted to where it agrees best.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

N_PHASES = 256


def anchored_turns(
    turns: Tensor, f0_hz: Tensor, spectra: Tensor, sample_rate: int, highest_hz: float, n_neighbors: int
) -> Tensor:
    """Phases `turns` [B, T] moved to the pulses of `spectra` (complex [B, T, n_fft / 2 + 1], hann frames).

    The harmonics below `highest_hz` vote, each by the recording's phase in its bin; votes are shared by `n_neighbors`
    frames on either side.
    """
    n_bins = spectra.shape[2]
    bin_hz = sample_rate / 2 / (n_bins - 1)
    orders = torch.arange(1, N_PHASES // 2, device=turns.device)
    hz = orders * f0_hz[..., None].float()
    bins = (hz / bin_hz).round().long().clamp_max(n_bins - 1)
    values = spectra.gather(2, bins)
    # Frames begin half a window before their center, which turns every other bin around.
    values = values * (1 - 2 * (bins % 2)) * (hz < highest_hz)
    values = values / values.abs().clamp_min(1e-8).sqrt()
    own = torch.polar(torch.ones_like(hz), (-2 * torch.pi) * ((orders * turns[..., None]) % 1.0).float())
    votes = torch.fft.fft(F.pad(values * own, (1, 0)), n=N_PHASES).real.transpose(1, 2)
    votes = F.avg_pool1d(votes, 2 * n_neighbors + 1, 1, n_neighbors)
    return (turns + votes.argmax(dim=1) / N_PHASES) % 1.0
