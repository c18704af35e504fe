"""Pitch of speech: its median and its variation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from backend.errors import ScoreUnavailable

RATE_HZ = 16_000
HOP = 160
WINDOW = 800
LOWEST_HZ, HIGHEST_HZ = 65.0, 420.0
# Relative to lag 0; vowels are above 0.8, noise below 0.4.
MIN_PERIODICITY = 0.6
MIN_LEVEL = 0.03  # relative to the loudest frame
# A shorter period wins if it is nearly as good, since its multiples always are.
MIN_RELATIVE_HEIGHT = 0.9
MAX_SEMITONES = 12.0
MIN_VOICED_FRAMES = 10


class PitchStatistics(NamedTuple):
    """`pitch_hz` is the median over voiced frames, `spread_semitones` the standard deviation around it."""

    pitch_hz: float
    spread_semitones: float
    voiced_share: float


def pitch_statistics(samples: np.ndarray) -> PitchStatistics:
    """Returns the pitch statistics of samples [N] at 16 kHz. Raises `ScoreUnavailable` if too little is voiced."""
    pitch = pitch_track(samples)
    voiced = pitch[pitch > 0]
    if len(voiced) < MIN_VOICED_FRAMES:
        raise ScoreUnavailable(f"Only {len(voiced)} frames are voiced; pitch statistics need {MIN_VOICED_FRAMES}.")
    middle = float(np.median(voiced))
    semitones = 12 * np.log2(voiced / middle)
    # Drop octave errors.
    semitones = semitones[np.abs(semitones) < MAX_SEMITONES]
    return PitchStatistics(middle, float(semitones.std()), len(voiced) / len(pitch))


def pitch_track(samples: np.ndarray) -> np.ndarray:
    """Returns the pitch in hertz every 10 ms, 0 if unvoiced: the first strong peak of the normalized autocorrelation."""
    if len(samples) < WINDOW:
        return np.zeros(0)
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), WINDOW)[::HOP]
    frames = (frames - frames.mean(axis=1, keepdims=True)) * np.hanning(WINDOW)
    shortest, longest = int(RATE_HZ / HIGHEST_HZ), int(RATE_HZ / LOWEST_HZ)
    correlation = (
        _autocorrelation(frames)[:, : longest + 2] / _autocorrelation(np.hanning(WINDOW)[None])[:, : longest + 2]
    )
    energy = np.maximum(correlation[:, :1], 1e-12)
    correlation = correlation / energy
    inner = correlation[:, shortest : longest + 1]
    is_peak = (inner >= correlation[:, shortest - 1 : longest]) & (inner >= correlation[:, shortest + 1 : longest + 2])
    height = np.where(is_peak, inner, 0.0)
    best = height.max(axis=1, keepdims=True)
    lag = np.argmax(height >= MIN_RELATIVE_HEIGHT * best, axis=1) + shortest
    level = np.sqrt(energy[:, 0])
    is_voiced = (best[:, 0] > MIN_PERIODICITY) & (level > MIN_LEVEL * level.max())
    return np.where(is_voiced, RATE_HZ / _refined(correlation, lag), 0.0)


def _autocorrelation(frames: np.ndarray) -> np.ndarray:
    spectra = np.fft.rfft(frames, 2 * WINDOW, axis=1)
    return np.fft.irfft(np.abs(spectra) ** 2, axis=1)


def _refined(correlation: np.ndarray, lag: np.ndarray) -> np.ndarray:
    """Returns the vertex of the parabola through a peak and its neighbors."""
    row = np.arange(len(lag))
    left, middle, right = (correlation[row, lag + step] for step in (-1, 0, 1))
    bend = left - 2 * middle + right
    return lag + np.where(bend < 0, 0.5 * (left - right) / np.where(bend < 0, bend, 1.0), 0.0)
