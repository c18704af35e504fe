"""How far a decoded sound is from its original for any sound, not only speech: spectra within 60 dB of the peak.

All take aligned float arrays [N] and raise `ScoreUnavailable` for pairs too short. What lies more than `RANGE_DB`
below the original's loudest value counts as silence on both sides, so the noise floor of a recording is not judged;
the tonal error looks `TONAL_RANGE_DB` deep, since gaps between partials are what it is about.
"""

from __future__ import annotations

import numpy as np

from backend.errors import ScoreUnavailable
from backend.metrics.reconstruction import MEL_WINDOWS, magnitudes, mel_filters, require_pair

RANGE_DB = 60.0
STFT_WINDOWS = (512, 1024, 2048)
TONAL_WINDOW = 8192
TONAL_RANGE_DB = 100.0
TONAL_MAX_HZ = 4000.0
MIN_PEAK = 1e-6


def log_mel_distance_db(reference: np.ndarray, decoded: np.ndarray, rate_hz: int, max_hz: float | None = None) -> float:
    """Mean absolute difference of log-mel magnitudes in decibels, averaged over four window lengths.

    `max_hz` keeps the bands whose center lies below it.
    """
    require_pair(reference, decoded, MEL_WINDOWS[-1][0])
    distances = []
    for window, n_bands in MEL_WINDOWS:
        filters = mel_filters(rate_hz, window, n_bands)
        if max_hz is not None:
            bins_hz = np.arange(window // 2 + 1) * rate_hz / window
            filters = filters[:, bins_hz @ filters < max_hz]
        pair = [magnitudes(samples, window, window // 4) @ filters for samples in (reference, decoded)]
        distances.append(np.abs(np.subtract(*_levels_db(*pair))).mean())
    return float(np.mean(distances))


def multi_resolution_stft_distance(reference: np.ndarray, decoded: np.ndarray) -> float:
    """Spectral convergence plus the mean absolute difference of log magnitudes (nepers), averaged over three windows."""
    require_pair(reference, decoded, STFT_WINDOWS[-1])
    distances = []
    for window in STFT_WINDOWS:
        wanted, found = (magnitudes(samples, window, window // 4) for samples in (reference, decoded))
        convergence = np.linalg.norm(wanted - found) / max(float(np.linalg.norm(wanted)), MIN_PEAK)
        difference = np.abs(np.subtract(*_levels_db(wanted, found))).mean() * np.log(10) / 20
        distances.append(convergence + difference)
    return float(np.mean(distances))


def tonal_error_db(reference: np.ndarray, decoded: np.ndarray, rate_hz: int) -> float:
    """Mean absolute difference in decibels of 8,192-point spectra below 4 kHz: whether notes are still notes.

    Partials are thin lines at this resolution, and what fills the gaps between them counts as much as the lines.
    """
    require_pair(reference, decoded, TONAL_WINDOW)
    n_bins = int(TONAL_MAX_HZ * TONAL_WINDOW / rate_hz) + 1
    wanted, found = (
        magnitudes(samples, TONAL_WINDOW, TONAL_WINDOW // 4)[:, :n_bins] for samples in (reference, decoded)
    )
    return float(np.abs(np.subtract(*_levels_db(wanted, found, TONAL_RANGE_DB))).mean())


def _levels_db(reference: np.ndarray, decoded: np.ndarray, range_db: float = RANGE_DB) -> tuple[np.ndarray, np.ndarray]:
    peak = float(reference.max())
    if peak < MIN_PEAK:
        raise ScoreUnavailable("The original is silent; a spectral distance to it needs sound.")
    floor = peak * 10 ** (-range_db / 20)
    return 20 * np.log10(np.maximum(reference, floor)), 20 * np.log10(np.maximum(decoded, floor))
