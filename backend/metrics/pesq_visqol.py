"""Perceived speech quality: PESQ wideband (ITU-T P.862.2) and ViSQOL."""

from __future__ import annotations

from typing import Any

import numpy as np

from backend.errors import NotAvailable, ScoreUnavailable
from backend.metrics.optional_packages import require_package
from backend.metrics.reconstruction import require_pair

SPEECH_RATE_HZ = 16_000
# Noise gain and the score of visqol-python 3.8 with its speech model; the polynomial it falls back to gives 5.0, 3.72
# and 3.30.
SELF_CHECK = ((0.0, 4.33899), (0.002, 2.51584), (0.005, 1.99593))
SELF_CHECK_TOLERANCE = 0.02


def pesq(reference: np.ndarray, decoded: np.ndarray) -> float:
    """Returns PESQ wideband of aligned signals [N] at 16 kHz, 1.0 to 4.64. Raises `ScoreUnavailable` if it finds no
    speech.
    """
    package = require_package("pesq", "pesq")
    require_pair(reference, decoded, SPEECH_RATE_HZ // 4)
    # PESQ would divide by zero energy.
    if not np.any(decoded) or not np.any(reference):
        raise ScoreUnavailable("PESQ needs two signals; one is silent.")
    try:
        return float(package.pesq(SPEECH_RATE_HZ, reference, decoded, "wb"))
    except package.PesqError as error:
        raise ScoreUnavailable(
            f"PESQ gives no score ({type(error).__name__}). It needs speech of at least 0.25 s."
        ) from error


class Visqol:
    """ViSQOL in speech mode, checked on a known pair before use.

    Raises `NotAvailable` if the package or the runtime of its speech model is missing, or if the check scores are
    wrong: without that runtime the package uses a rough formula instead.
    """

    def __init__(self) -> None:
        package = require_package("visqol", "visqol-python")
        require_package("ai_edge_litert.interpreter", "ai-edge-litert")
        self._api: Any = package.VisqolApi()
        try:
            self._api.create(mode="speech", use_lattice_model=True)
        except (ImportError, FileNotFoundError, RuntimeError) as error:
            raise NotAvailable("ViSQOL cannot load its speech model. Install visqol-python again.") from error
        for gain, expected in SELF_CHECK:
            actual = self.score(*self_check_pair(gain))
            if not abs(actual - expected) <= SELF_CHECK_TOLERANCE:
                raise NotAvailable(
                    f"ViSQOL scores its check signal {actual:.4f}; expected {expected:.4f}. "
                    "Install visqol-python 3.8 and ai-edge-litert again."
                )

    def score(self, reference: np.ndarray, decoded: np.ndarray) -> float:
        """Returns MOS-LQO of signals [N] at 16 kHz, 1 to 5. Raises `ScoreUnavailable` if it finds nothing to compare."""
        require_pair(reference, decoded, SPEECH_RATE_HZ // 2)
        try:
            result = self._api.measure_from_arrays(
                reference.astype(np.float64), decoded.astype(np.float64), SPEECH_RATE_HZ
            )
        except (ValueError, IndexError, RuntimeError) as error:
            raise ScoreUnavailable(
                f"ViSQOL gives no score ({type(error).__name__}); the audio may be silent."
            ) from error
        if not np.isfinite(result.moslqo):
            raise ScoreUnavailable("ViSQOL gives no finite score; the audio may be silent.")
        return float(result.moslqo)


def self_check_pair(gain: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns one second of tone sweeps, and the same with deterministic noise."""
    n = np.arange(SPEECH_RATE_HZ)
    time_s = n / SPEECH_RATE_HZ
    clean = 0.3 * np.sin(2 * np.pi * (200 + 300 * time_s) * time_s) * np.sin(2 * np.pi * 3 * time_s) ** 2
    clean += 0.1 * np.sin(2 * np.pi * 1500 * time_s) * np.sin(2 * np.pi * 2 * time_s) ** 2
    return clean, clean + gain * (n * 7919 % 1009 / 504.5 - 1)
