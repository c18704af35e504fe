"""DNSMOS P.835 through the speechmos package. It detects broken audio; it does not rank good voices."""

from __future__ import annotations

from typing import Any

import numpy as np

from backend.errors import ScoreUnavailable
from backend.metrics.optional_packages import require_package

RATE_HZ = 16_000
# The network takes 9.01 s; shorter audio is repeated.
WINDOW_SAMPLES = 144_160


class Dnsmos:
    """Overall speech quality, 1 to 5. Real recordings score about 3.2, clean synthesis as much or more."""

    def __init__(self) -> None:
        """Raises `NotAvailable` without the package."""
        self._package: Any = require_package("speechmos.dnsmos", "speechmos")

    def score(self, samples: np.ndarray) -> float:
        """Returns the overall score of samples [N] at 16 kHz. Raises `ScoreUnavailable` for silence."""
        if not np.any(samples):
            raise ScoreUnavailable("The audio is silent; DNSMOS needs speech.")
        repeated = np.tile(samples, -(-WINDOW_SAMPLES // len(samples)))[: max(WINDOW_SAMPLES, len(samples))]
        peak = float(np.abs(repeated).max())
        return float(self._package.run((repeated / max(peak, 1.0)).astype(np.float32), RATE_HZ)["ovrl_mos"])
