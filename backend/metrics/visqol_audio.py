"""ViSQOL in audio mode: the quality of music and other sound, 1 to 5.

Noise-like sound is scored badly: rain with its treble removed scores higher than rain with more of it left. Read it
beside a spectral distance there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import soxr

from backend.errors import NotAvailable, ScoreUnavailable
from backend.metrics.optional_packages import require_package
from backend.metrics.reconstruction import require_pair

AUDIO_RATE_HZ = 48_000


class VisqolAudio:
    """ViSQOL in audio mode. Raises `NotAvailable` where the package is missing or cannot load its model."""

    def __init__(self) -> None:
        package = require_package("visqol", "visqol-python")
        self._api: Any = package.VisqolApi()
        try:
            self._api.create(mode="audio")
        except (ImportError, FileNotFoundError, RuntimeError) as error:
            raise NotAvailable("ViSQOL cannot load its audio model. Install visqol-python again.") from error

    def score(self, reference: np.ndarray, decoded: np.ndarray, rate_hz: int) -> float:
        """MOS-LQO of aligned sounds [N], 1 to 5. Raises `ScoreUnavailable` where there is nothing to compare."""
        require_pair(reference, decoded, rate_hz // 2)
        pair = [soxr.resample(x.astype(np.float64), rate_hz, AUDIO_RATE_HZ) for x in (reference, decoded)]
        try:
            result = self._api.measure_from_arrays(*pair, AUDIO_RATE_HZ)
        except (ValueError, IndexError, RuntimeError) as error:
            raise ScoreUnavailable(
                f"ViSQOL gives no score ({type(error).__name__}); the sound may be silent."
            ) from error
        if not np.isfinite(result.moslqo):
            raise ScoreUnavailable("ViSQOL gives no number; the sound may be silent.")
        return float(result.moslqo)
