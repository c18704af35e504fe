"""Reconstruction metrics of spectra and waveforms. Signals are aligned float arrays [N]."""

from __future__ import annotations

import numpy as np

from backend.errors import ScoreUnavailable

MEL_WINDOWS = ((256, 20), (512, 40), (1024, 80), (2048, 128))  # samples, mel bands
# Levels below 1e-5 of full scale count as silence.
FLOOR = 1e-5
MAX_SDR_DB = 100.0


def mel_distance_db(reference: np.ndarray, decoded: np.ndarray, rate_hz: int) -> float:
    """Returns the mean absolute difference of log-mel magnitudes in decibels, averaged over four window lengths.

    A full-scale sine has magnitude 1; magnitudes are floored at 1e-5. Raises `ScoreUnavailable` for audio shorter than
    the longest window.
    """
    require_pair(reference, decoded, MEL_WINDOWS[-1][0])
    distances = []
    for window, n_bands in MEL_WINDOWS:
        filters = mel_filters(rate_hz, window, n_bands)
        levels = [_log_mel_db(samples, window, filters) for samples in (reference, decoded)]
        distances.append(np.abs(levels[0] - levels[1]).mean())
    return float(np.mean(distances))


def si_sdr_db(reference: np.ndarray, decoded: np.ndarray) -> float:
    """Returns the scale-invariant SDR in decibels, within ±100. Raises `ScoreUnavailable` for a silent reference."""
    require_pair(reference, decoded, 1)
    reference, decoded = reference.astype(np.float64), decoded.astype(np.float64)
    energy = reference @ reference
    if energy == 0:
        raise ScoreUnavailable("The reference is silent; SI-SDR needs a signal.")
    target = (decoded @ reference) / energy * reference
    signal, distortion = target @ target, (decoded - target) @ (decoded - target)
    least = 10 ** (-MAX_SDR_DB / 10) * max(signal, distortion, 1e-30)
    return float(10 * np.log10(max(signal, least) / max(distortion, least)))


def require_pair(reference: np.ndarray, decoded: np.ndarray, min_samples: int) -> None:
    """Raises `ScoreUnavailable` unless the pair, of equal lengths, is long enough."""
    if reference.ndim != 1 or reference.shape != decoded.shape:
        raise AssertionError(f"a pair has shapes {reference.shape} and {decoded.shape}")
    if len(reference) < min_samples:
        raise ScoreUnavailable(f"The pair has {len(reference)} samples; at least {min_samples} are needed.")


def mel_filters(rate_hz: int, window: int, n_bands: int) -> np.ndarray:
    """Returns triangles equally spaced in mel, [window / 2 + 1, n_bands], each with sum 1 and at least one bin wide."""
    top_mel = 2595 * np.log10(1 + rate_hz / 2 / 700)
    edges_hz = 700 * (10 ** (np.linspace(0, top_mel, n_bands + 2) / 2595) - 1)
    below, center, above = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    spacing_hz = rate_hz / window
    offset_hz = np.arange(window // 2 + 1)[:, None] * spacing_hz - center
    width_hz = np.where(offset_hz < 0, np.maximum(center - below, spacing_hz), np.maximum(above - center, spacing_hz))
    triangles = np.maximum(1 - np.abs(offset_hz) / width_hz, 0)
    return triangles / triangles.sum(axis=0)


def magnitudes(samples: np.ndarray, window: int, hop: int) -> np.ndarray:
    """Returns magnitude spectra [T, window / 2 + 1] in which a full-scale sine peaks at 1."""
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), window)[::hop]
    taper = np.hanning(window + 1)[:-1]
    return np.abs(np.fft.rfft(frames * taper)) / (taper.sum() / 2)


def _log_mel_db(samples: np.ndarray, window: int, filters: np.ndarray) -> np.ndarray:
    return 20 * np.log10(np.maximum(magnitudes(samples, window, window // 4) @ filters, FLOOR))


def kbps(size_bytes: int, duration_s: float) -> float:
    """Returns the bitrate in kbps."""
    return size_bytes * 8 / 1000 / duration_s
