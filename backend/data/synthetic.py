"""Synthetic audio from a seed, for tests and examples; equal arguments give equal samples up to rounding.

Every function returns mono float32 [1, N] with N = round(duration_s * rate_hz), within -1...1.
"""

from __future__ import annotations

import numpy as np

# Formant frequencies and bandwidths in hertz, near those of five spoken vowels.
VOWELS_HZ = (
    ((730, 90), (1090, 110), (2440, 170)),
    ((530, 80), (1840, 120), (2480, 160)),
    ((270, 60), (2290, 140), (3010, 200)),
    ((570, 80), (840, 90), (2410, 160)),
    ((300, 60), (870, 90), (2240, 150)),
)
SYLLABLE_S = 0.22


def silence(duration_s: float, rate_hz: int) -> np.ndarray:
    """Returns zeros."""
    return np.zeros((1, _length(duration_s, rate_hz)), np.float32)


def tone(duration_s: float, rate_hz: int, frequency_hz: float = 440.0, peak: float = 0.5) -> np.ndarray:
    """Returns a sine that starts at phase zero."""
    time_s = np.arange(_length(duration_s, rate_hz)) / rate_hz
    return _as_samples(peak * np.sin(2 * np.pi * frequency_hz * time_s))


def chirp(
    duration_s: float, rate_hz: int, start_hz: float = 100.0, end_hz: float | None = None, peak: float = 0.5
) -> np.ndarray:
    """Returns a linear sine sweep from `start_hz` to `end_hz`, by default 45% of the rate."""
    end_hz = 0.45 * rate_hz if end_hz is None else end_hz
    time_s = np.arange(_length(duration_s, rate_hz)) / rate_hz
    slope = (end_hz - start_hz) / max(duration_s, 1 / rate_hz)
    return _as_samples(peak * np.sin(2 * np.pi * (start_hz + slope * time_s / 2) * time_s))


def noise(duration_s: float, rate_hz: int, seed: int = 0, peak: float = 0.5) -> np.ndarray:
    """Returns white noise, uniform in -peak...peak."""
    return _as_samples(np.random.default_rng(seed).uniform(-peak, peak, _length(duration_s, rate_hz)))


def speech_like(duration_s: float, rate_hz: int, seed: int = 0, peak: float = 0.5) -> np.ndarray:
    """Returns speech-shaped audio: vowels with gliding pitch, breath noise, syllables and pauses. Not intelligible.

    The seed determines pitch, vowels and syllable lengths. The largest sample is `peak`.
    """
    n_samples = _length(duration_s, rate_hz)
    rng = np.random.default_rng(seed)
    pitch_hz = rng.uniform(90, 220)
    voice = np.zeros(n_samples)
    start = 0
    while start < n_samples:
        n_syllable = max(16, round(SYLLABLE_S * rng.uniform(0.6, 1.6) * rate_hz))
        vowel = VOWELS_HZ[rng.integers(len(VOWELS_HZ))]
        glide = rng.uniform(0.85, 1.15)
        is_pause = rng.random() < 0.15
        breath = rng.standard_normal(n_syllable)
        if not is_pause:
            syllable = _syllable(n_syllable, rate_hz, pitch_hz * np.linspace(1.0, glide, n_syllable), vowel, breath)
            voice[start : start + n_syllable] = syllable[: n_samples - start]
        start += n_syllable
    loudest = np.abs(voice).max(initial=0.0)
    return _as_samples(voice * (peak / loudest) if loudest > 0 else voice)


def _syllable(
    n_samples: int, rate_hz: int, pitch_hz: np.ndarray, vowel: tuple[tuple[int, int], ...], breath: np.ndarray
) -> np.ndarray:
    """Filters pulses and a little noise with formant resonances, with fade-in and fade-out."""
    cycles = np.cumsum(pitch_hz) / rate_hz
    pulses = (np.diff(np.floor(cycles), prepend=0.0) > 0).astype(np.float64)
    source = pulses + 0.02 * breath
    # Resonances as a spectrum: NumPy has no recursive filter, and a Python loop would take seconds.
    n_fft = 2 * n_samples
    frequency_hz = np.fft.rfftfreq(n_fft, 1 / rate_hz)
    response = np.zeros(len(frequency_hz))
    for weight, (center_hz, width_hz) in zip((1.0, 0.6, 0.25), vowel, strict=True):
        response += weight / (1 + ((frequency_hz - center_hz) / width_hz) ** 2)
    voiced = np.fft.irfft(np.fft.rfft(source, n_fft) * response, n_fft)[:n_samples]
    return voiced * np.sin(np.linspace(0, np.pi, n_samples)) ** 0.7


def _length(duration_s: float, rate_hz: int) -> int:
    return round(duration_s * rate_hz)


def _as_samples(samples: np.ndarray) -> np.ndarray:
    return samples[None].astype(np.float32)
