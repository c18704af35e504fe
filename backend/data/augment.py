"""Data augmentation: speed and pitch, room, tone, noise, band limit, gain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr

# Anchors of the random tone curve, in octaves of the spectrum below the Nyquist frequency.
N_TONE_BANDS = 6
CEILING = 0.99


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Probability (0...1) and range of each augmentation.

    Speed resamples, which changes pitch and formants along with tempo, like another speaker. Room adds a decaying echo:
    `room_s` is its decay time to -60 dB, `room_db` its energy relative to the direct sound. Tone is a smooth random
    curve over frequency. Noise is steady, white to brown. Band is a low-pass at a cutoff in `band_hz` (uniform in
    octaves), like telephones and old recordings. Gain comes last and never clips.
    """

    speed_probability: float = 0.0
    max_speed_change: float = 0.12
    tone_probability: float = 0.0
    max_tone_db: float = 6.0
    noise_probability: float = 0.0
    noise_snr_db: tuple[float, float] = (15.0, 45.0)
    gain_probability: float = 0.0
    gain_db: tuple[float, float] = (-18.0, 6.0)
    band_probability: float = 0.0
    band_hz: tuple[float, float] = (3400.0, 10000.0)
    room_probability: float = 0.0
    room_s: tuple[float, float] = (0.15, 0.6)
    room_db: tuple[float, float] = (-25.0, -5.0)
    rate_hz: int = 24_000

    def sample_speed(self, rng: np.random.Generator) -> float:
        """Samples the speed factor of the next segment; 1.0 for unchanged."""
        if rng.random() >= self.speed_probability:
            return 1.0
        return float(1.0 + rng.uniform(-self.max_speed_change, self.max_speed_change))

    def apply(self, samples: np.ndarray, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """Augments a segment [C, M] to [C, n_samples]; M differs from `n_samples` if the speed changes."""
        if samples.shape[1] != n_samples:
            samples = soxr.resample(samples.T, samples.shape[1], n_samples, quality="MQ").T
            samples = _fit(samples, n_samples)
        if self.room_probability and rng.random() < self.room_probability:
            samples = add_room(
                samples, round(rng.uniform(*self.room_s) * self.rate_hz), rng.uniform(*self.room_db), rng
            )
        if rng.random() < self.tone_probability:
            samples = shape_tone(samples, rng.uniform(-self.max_tone_db, self.max_tone_db, N_TONE_BANDS))
        if rng.random() < self.noise_probability:
            samples = add_noise(samples, rng.uniform(*self.noise_snr_db), rng)
        if rng.random() < self.band_probability:
            samples = limit_band(samples, np.exp(rng.uniform(*np.log(self.band_hz))) / self.rate_hz)
        if rng.random() < self.gain_probability:
            samples = samples * 10.0 ** (rng.uniform(*self.gain_db) / 20.0)
        peak = np.abs(samples).max()
        if peak > CEILING:
            samples = samples * (CEILING / peak)
        return np.ascontiguousarray(samples, dtype=np.float32)


def shape_tone(samples: np.ndarray, band_gains_db: np.ndarray) -> np.ndarray:
    """Filters [C, N] with a smooth gain curve through one gain per octave, the last at the Nyquist frequency."""
    n_samples = samples.shape[1]
    spectrum = np.fft.rfft(samples, n=2 * n_samples)
    octaves = np.log2(np.linspace(2.0**-N_TONE_BANDS, 1.0, spectrum.shape[1]))
    anchors = np.arange(1 - len(band_gains_db), 1)
    gains_db = np.interp(octaves, anchors, band_gains_db)
    return np.fft.irfft(spectrum * 10.0 ** (gains_db / 20.0))[:, :n_samples]


def add_room(samples: np.ndarray, decay_samples: int, echo_db: float, rng: np.random.Generator) -> np.ndarray:
    """Adds a room echo to [C, N]: noise that decays by 60 dB in `decay_samples`, at `echo_db` relative to the audio."""
    n_fft = samples.shape[1] + decay_samples
    tail = rng.standard_normal(decay_samples) * 10.0 ** (-3.0 * np.arange(decay_samples) / decay_samples)
    # Rooms absorb high frequencies first: average neighbors as a gentle low-pass.
    tail = np.convolve(tail, (0.25, 0.5, 0.25), mode="same")
    tail *= 10.0 ** (echo_db / 20.0) / np.linalg.norm(tail)
    echo = np.fft.irfft(np.fft.rfft(samples, n=n_fft) * np.fft.rfft(tail, n=n_fft), n=n_fft)
    return samples + echo[:, : samples.shape[1]]


def limit_band(samples: np.ndarray, cutoff: float) -> np.ndarray:
    """Low-passes [C, N] at `cutoff`, a fraction of the rate; the slope below it is a tenth of that wide."""
    n_samples = samples.shape[1]
    spectrum = np.fft.rfft(samples, n=2 * n_samples)
    share = np.linspace(0.0, 0.5, spectrum.shape[1])
    gain = np.clip((cutoff - share) / (0.1 * cutoff), 0.0, 1.0)
    return np.fft.irfft(spectrum * gain)[:, :n_samples]


def add_noise(samples: np.ndarray, snr_db: float, rng: np.random.Generator) -> np.ndarray:
    """Adds steady noise, between white and brown, at `snr_db` below the segment's level."""
    white = np.fft.rfft(rng.standard_normal(samples.shape))
    slope = rng.uniform(0.0, 1.0)
    noise = np.fft.irfft(white / np.maximum(np.arange(white.shape[1]), 8.0) ** slope, n=samples.shape[1])
    level = np.sqrt(np.mean(np.square(samples)))
    scale = level * 10.0 ** (-snr_db / 20.0) / max(np.sqrt(np.mean(np.square(noise))), 1e-12)
    return samples + scale * noise


def _fit(samples: np.ndarray, n_samples: int) -> np.ndarray:
    missing = max(n_samples - samples.shape[1], 0)
    return np.pad(samples, ((0, 0), (0, missing)))[:, :n_samples]
