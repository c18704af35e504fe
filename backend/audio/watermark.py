"""Audio watermark: keyed noise below the signal in every band, with a period of one second.

Spread-spectrum watermarking as in Cox et al., "Secure spread spectrum watermarking for multimedia" (1997): the carrier
is keyed noise between 300 and 7000 Hz; every 20 ms its bands are set to a fixed level below those of the signal. The
detector whitens the audio, folds it to one second and correlates it with the carrier at every shift.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from backend.audio.resample import resample
from backend.audio.waveform import Waveform

# Level in each band; the watermark as a whole is 36 dB or more below the signal.
LEVEL_DB = -34.0
LOW_HZ, HIGH_HZ = 300, 7000
# Sample rate of detection; the carrier is below half of it.
CHECK_RATE_HZ = 16_000
FRAME_S = 0.02
# Relative width of the bands, similar to auditory bands.
BAND_SHARE = 0.16
# In standard deviations of the correlation over all shifts. False positives: 1 in 50,000 clips, over 16,000 shifts.
THRESHOLD = 6.0
# Long enough to resolve the carrier between the harmonics of a voice: 4096 samples detect it best of 320 to 16000
# (scores of 5.9, 11.3 and 9.4 in 15 s of speech, against 3.3 to 4.0 with 320).
LONG_FRAME = 4096
MOST_WEIGHT = 4.0
LEAST_S = 2.0
FLOOR = 1e-9


class Finding(NamedTuple):
    """Result of a watermark check. `score`: the best correlation; watermarked from `THRESHOLD` on."""

    score: float
    duration_s: float

    @property
    def is_watermarked(self) -> bool:
        return self.score >= THRESHOLD


def carrier(key: str, rate_hz: int) -> np.ndarray:
    """Return one second of keyed noise of power 1, float64 [rate_hz]; the same signal at every rate from 16 kHz."""
    seed = int.from_bytes(hashlib.sha256(f"phonogram watermark 1 {key}".encode()).digest()[:16], "big")
    phases = np.random.Generator(np.random.PCG64(seed)).uniform(0, 2 * np.pi, HIGH_HZ - LOW_HZ)
    # A period of one second has a spectral line at every hertz.
    spectrum = np.zeros(rate_hz // 2 + 1, complex)
    high = min(HIGH_HZ, len(spectrum) - 1)
    spectrum[LOW_HZ:high] = np.exp(1j * phases[: high - LOW_HZ])
    return np.fft.irfft(spectrum, rate_hz) * rate_hz / np.sqrt(2 * (HIGH_HZ - LOW_HZ))


class StreamMarker:
    """Adds a watermark to a stream of samples [C, N]; the output does not depend on the chunking.

    The output lags the input by up to 20 ms; `finish` returns the rest.
    """

    def __init__(self, key: str, rate_hz: int, n_channels: int):
        self._hop = round(FRAME_S * rate_hz / 2)
        self._carrier = carrier(key, rate_hz)
        self._window = np.sin(np.pi * (np.arange(2 * self._hop) + 0.5) / (2 * self._hop))
        self._bands = _bands(2 * self._hop, rate_hz)
        # One hop of silence first, so that the first sample is covered by two frames.
        self._held = np.zeros((n_channels, self._hop), np.float32)
        self._tail = np.zeros((n_channels, self._hop))
        self._at, self._n_in, self._n_out = -self._hop, 0, 0

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Add samples; returns final watermarked samples."""
        self._held = np.concatenate([self._held, samples], axis=1)
        self._n_in += samples.shape[1]
        return self._settled()

    def finish(self) -> np.ndarray:
        """Return the remaining samples."""
        self._held = np.pad(self._held, ((0, 0), (0, 2 * self._hop)))
        rest = self._settled()
        return rest[:, : rest.shape[1] - max(0, self._n_out - self._n_in)]

    def _settled(self) -> np.ndarray:
        pieces = []
        while self._held.shape[1] >= 2 * self._hop:
            frame = self._held[:, : 2 * self._hop]
            mark = self._mark_of(frame)
            settled = frame[:, : self._hop] + (self._tail + mark[:, : self._hop]).astype(np.float32)
            self._tail, self._held = mark[:, self._hop :], self._held[:, self._hop :]
            if self._at >= 0:
                pieces.append(settled)
            self._at += self._hop
        out = np.concatenate(pieces, axis=1) if pieces else np.zeros((len(self._held), 0), np.float32)
        self._n_out += out.shape[1]
        return out

    def _mark_of(self, frame: np.ndarray) -> np.ndarray:
        """Return the carrier of this frame, with every band at `LEVEL_DB` relative to the frame's band."""
        places = (self._at + np.arange(frame.shape[1])) % len(self._carrier)
        noise = np.fft.rfft(self._carrier[places] * self._window)
        power = np.abs(np.fft.rfft(frame * self._window)) ** 2 @ self._bands.T
        gains = np.sqrt(power / (np.abs(noise) ** 2 @ self._bands.T + FLOOR)) * 10 ** (LEVEL_DB / 20)
        return np.fft.irfft((gains @ self._bands) * noise, frame.shape[1]) * self._window


def check(waveform: Waveform, key: str) -> Finding:
    """Check audio for the watermark of this key."""
    sound = resample(waveform, CHECK_RATE_HZ).samples.mean(axis=0).astype(np.float64)
    duration_s = len(sound) / CHECK_RATE_HZ
    if duration_s < LEAST_S:
        return Finding(0.0, duration_s)
    white = _whitened(sound)
    folded = np.pad(white, (0, -len(white) % CHECK_RATE_HZ)).reshape(-1, CHECK_RATE_HZ).sum(axis=0)
    return Finding(_best_match(folded, key), duration_s)


def _best_match(folded: np.ndarray, key: str) -> float:
    """Return the best correlation over all shifts, in half samples, relative to its RMS; the start may be cut off."""
    product = np.fft.rfft(folded) * np.conj(np.fft.rfft(carrier(key, CHECK_RATE_HZ)))
    matches = np.fft.irfft(product, 2 * CHECK_RATE_HZ)
    return float(matches.max()) / max(float(np.sqrt(np.mean(matches**2))), FLOOR)


def _whitened(sound: np.ndarray) -> np.ndarray:
    """Whiten the spectrum and attenuate lines that exceed their band's level, which mask the carrier."""
    n_frame = LONG_FRAME
    hop = n_frame // 2
    window = np.sin(np.pi * (np.arange(n_frame) + 0.5) / n_frame)
    padded = np.pad(sound, (hop, hop + -len(sound) % hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_frame)[::hop]
    spectra = np.fft.rfft(frames * window)
    size, bands = np.abs(spectra) + FLOOR, _bands(n_frame, CHECK_RATE_HZ)
    level = np.sqrt(size**2 @ bands.T / bands.sum(axis=1)) @ bands
    spectra *= np.minimum(level / size, MOST_WEIGHT) / size
    lines_hz = np.fft.rfftfreq(n_frame, 1 / CHECK_RATE_HZ)
    spectra[:, (lines_hz < LOW_HZ) | (lines_hz >= HIGH_HZ)] = 0
    out = np.zeros(len(padded))
    for index, piece in enumerate(np.fft.irfft(spectra, n_frame) * window):
        out[index * hop : index * hop + n_frame] += piece
    return out[hop : hop + len(sound)]


def _bands(n_frame: int, rate_hz: int) -> np.ndarray:
    """Return the band matrix of a frame's spectral lines, [bands, lines] of 0 and 1."""
    lines_hz = np.fft.rfftfreq(n_frame, 1 / rate_hz)
    edges = [float(LOW_HZ)]
    while edges[-1] < HIGH_HZ:
        edges.append(edges[-1] + max(rate_hz / n_frame, BAND_SHARE * edges[-1]))
    rows = np.stack([(lines_hz >= low) & (lines_hz < high) for low, high in pairwise(edges)])
    return rows[rows.any(axis=1)].astype(np.float64)
