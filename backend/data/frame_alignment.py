"""Which symbol is heard in which codec frame, from the durations a speaking model kept to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class DurationUnit:
    """What a duration of 1 means: `unit_samples` at `rate_hz`, in sound that comes `lead_samples` early."""

    unit_samples: float = 600
    rate_hz: int = 24_000
    # Kokoro's sound is ahead of its durations. Measured on its voices by the contrast in zero crossings of hissed
    # and voiced sounds.
    lead_samples: float = 1150

    def played(self, factor: float) -> DurationUnit:
        """Of the same sound played `factor` times as fast."""
        return DurationUnit(self.unit_samples / factor, self.rate_hz, self.lead_samples / factor)


def frame_alignment(
    durations: Sequence[int], n_frames: int, unit: DurationUnit, *,
    first_sample: int, hop_samples: int, latency_samples: int, rate_hz: int,
) -> np.ndarray:  # fmt: skip
    """The place in `durations` that each frame [T] speaks, int16: 0 is the silence before, then the symbols in order.

    `first_sample` of the measured sound, at its rate, is the first of the coded one; the rest is the codec's. Frame
    t decodes to the input samples [t * hop - latency, (t + 1) * hop - latency); it belongs to the symbol under the
    middle of that. Symbols shorter than a frame may have none.
    """
    ends = np.cumsum(durations, dtype=np.int64) * unit.unit_samples - first_sample - unit.lead_samples
    middles = np.arange(n_frames) * hop_samples + hop_samples // 2 - latency_samples
    place = np.searchsorted(ends / unit.rate_hz, middles / rate_hz, side="right")
    return np.minimum(place, len(durations) - 1).astype(np.int16)
