"""Estimates and removes a codec's delay before two signals are compared."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Level of eight bands every millisecond, which survives codecs that do not keep the phase.
ENVELOPE_WINDOW_S = 0.016
ENVELOPE_HOP_S = 0.001
N_BANDS = 8
# Near that lag the waveforms decide, if they are similar enough; for a regenerated waveform that would add noise.
REFINE_S = 0.002
MIN_SIMILARITY = 0.5


class Aligned(NamedTuple):
    """Two signals of equal length, [N] each."""

    reference: np.ndarray
    signal: np.ndarray


def overlap(reference: np.ndarray, signal: np.ndarray, lag_samples: int) -> Aligned:
    """Returns the common part of both signals if `signal` is `lag_samples` later."""
    reference, signal = reference[max(-lag_samples, 0) :], signal[max(lag_samples, 0) :]
    length = min(len(reference), len(signal))
    return Aligned(reference[:length], signal[:length])


def find_lag(reference: np.ndarray, signal: np.ndarray, rate_hz: int, max_lag_s: float = 0.2) -> int:
    """Returns how many samples `signal` is later than `reference`, at most `max_lag_s` either way."""
    if not np.any(reference) or not np.any(signal):
        return 0
    limit = max(min(round(max_lag_s * rate_hz), len(reference) - 1, len(signal) - 1), 0)
    hop = max(1, round(ENVELOPE_HOP_S * rate_hz))
    bands = zip(_envelopes(reference, rate_hz, hop), _envelopes(signal, rate_hz, hop), strict=True)
    score = np.sum([_correlation(expected, actual, limit // hop) for expected, actual in bands], axis=0)
    coarse = hop * _best(np.arange(-(limit // hop), limit // hop + 1), score)
    around = round(REFINE_S * rate_hz)
    lags = np.arange(max(-limit, coarse - around), min(limit, coarse + around) + 1)
    similarity = _correlation(reference, signal, limit)[lags + limit]
    return _best(lags, similarity) if similarity.max() >= MIN_SIMILARITY else coarse


def _best(lags: np.ndarray, score: np.ndarray) -> int:
    """Returns the lag with the highest score; among equals the smallest, so that silence is not shifted."""
    best = lags[score >= score.max() - 1e-9]
    return int(best[np.argmin(np.abs(best))])


def _correlation(reference: np.ndarray, signal: np.ndarray, limit: int) -> np.ndarray:
    """Normalized correlation for lags -limit...limit."""
    reference = reference.astype(np.float64) - reference.mean()
    signal = signal.astype(np.float64) - signal.mean()
    n_fft = 1 << (len(reference) + len(signal)).bit_length()
    product = np.fft.irfft(np.fft.rfft(signal, n_fft) * np.conj(np.fft.rfft(reference, n_fft)), n_fft)
    scale = np.linalg.norm(reference) * np.linalg.norm(signal)
    return np.concatenate([product[n_fft - limit :], product[: limit + 1]]) / max(scale, 1e-12)


def _envelopes(samples: np.ndarray, rate_hz: int, hop: int) -> np.ndarray:
    """Log magnitudes of bands, [N_BANDS, T]."""
    window = N_BANDS * 2 * max(1, round(ENVELOPE_WINDOW_S * rate_hz / N_BANDS / 2))
    padded = np.pad(samples.astype(np.float64), window // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    spectra = np.abs(np.fft.rfft(frames * np.hanning(window)))[:, 1:]
    bands = spectra.reshape(len(spectra), N_BANDS, -1).sum(axis=2).T
    return np.log(bands + 1e-3 * bands.max() + 1e-9)
