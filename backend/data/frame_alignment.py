"""Aligns symbols with codec frames, from the durations of a speech model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class DurationUnit:
    """The unit of a duration: `unit_samples` at `rate_hz`, in audio that is `lead_samples` early."""

    unit_samples: float = 600
    rate_hz: int = 24_000
    # Kokoro's audio is ahead of its durations; measured on its voices by the zero-crossing contrast between fricatives
    # and voiced sounds.
    lead_samples: float = 1150

    def speed_perturbed(self, factor: float) -> DurationUnit:
        """Returns the unit for the same audio played `factor` times as fast."""
        return DurationUnit(self.unit_samples / factor, self.rate_hz, self.lead_samples / factor)


def frame_alignment(
    durations: Sequence[int], n_frames: int, unit: DurationUnit, *,
    first_sample: int, hop_samples: int, latency_samples: int, rate_hz: int,
) -> np.ndarray:  # fmt: skip
    """Returns the index into `durations` of each frame [T], int16: 0 is the leading silence, then the symbols in order.

    `first_sample` of the measured audio, at its rate, is the first of the encoded audio; the other values are the
    codec's. Frame t decodes to the input samples [t * hop - latency, (t + 1) * hop - latency) and belongs to the symbol
    at their middle. Symbols shorter than a frame may have none.
    """
    ends = np.cumsum(durations, dtype=np.int64) * unit.unit_samples - first_sample - unit.lead_samples
    middles = np.arange(n_frames) * hop_samples + hop_samples // 2 - latency_samples
    place = np.searchsorted(ends / unit.rate_hz, middles / rate_hz, side="right")
    return np.minimum(place, len(durations) - 1).astype(np.int16)
