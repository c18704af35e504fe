"""A mark in the sound that a key finds again: noise far below the sound in every band, the same every second.

Spread-spectrum marking as in Cox et al., "Secure spread spectrum watermarking for multimedia" (1997): the carrier is
noise from the key between 300 and 7000 Hz; every 20 ms its bands are set to a fixed distance below those of the sound.
The check whitens the sound, lays its seconds over each other and looks for the carrier at every shift.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from backend.audio.resample import resample
from backend.audio.waveform import Waveform

# In each band; the mark as a whole is 36 dB or more below the sound.
LEVEL_DB = -34.0
LOW_HZ, HIGH_HZ = 300, 7000
# Sounds are checked at this rate; the carrier lies below half of it.
CHECK_RATE_HZ = 16_000
FRAME_S = 0.02
# Of the bands that follow the sound; narrow as those of hearing.
BAND_SHARE = 0.16
# In spreads of the matches at all shifts. By chance one of 16,000 shifts is beyond it in one sound of 50,000.
THRESHOLD = 6.0
# Long enough to see the carrier between the partials of a voice, where it stands out: 4096 samples found it best of
# 320 to 16000 (scores of 5.9, 11.3 and 9.4 in 15 s of speech, against 3.3 to 4.0 with 320).
LONG_FRAME = 4096
MOST_WEIGHT = 4.0
LEAST_S = 2.0
FLOOR = 1e-9


class Finding(NamedTuple):
    """What a check found. `score`: how far the best match stands out; marked from `THRESHOLD` on."""

    score: float
    duration_s: float

    @property
    def is_marked(self) -> bool:
        return self.score >= THRESHOLD


def carrier(key: str, rate_hz: int) -> np.ndarray:
    """One second of the key's noise, float64 [rate_hz], of power 1. The same sound at every rate from 16 kHz on."""
    seed = int.from_bytes(hashlib.sha256(f"phonogram watermark 1 {key}".encode()).digest()[:16], "big")
    phases = np.random.Generator(np.random.PCG64(seed)).uniform(0, 2 * np.pi, HIGH_HZ - LOW_HZ)
    # A period of one second has a line at every hertz.
    spectrum = np.zeros(rate_hz // 2 + 1, complex)
    high = min(HIGH_HZ, len(spectrum) - 1)
    spectrum[LOW_HZ:high] = np.exp(1j * phases[: high - LOW_HZ])
    return np.fft.irfft(spectrum, rate_hz) * rate_hz / np.sqrt(2 * (HIGH_HZ - LOW_HZ))


class StreamMarker:
    """Marks samples [C, N] of a growing sound; pieces of any size give the same as the whole.

    What comes out is up to 20 ms behind what went in; `finish` gives the rest. Nothing else changes.
    """

    def __init__(self, key: str, rate_hz: int, n_channels: int):
        self._hop = round(FRAME_S * rate_hz / 2)
        self._carrier = carrier(key, rate_hz)
        self._window = np.sin(np.pi * (np.arange(2 * self._hop) + 0.5) / (2 * self._hop))
        self._bands = _bands(2 * self._hop, rate_hz)
        # One hop of silence before the first sample, so that it too lies in two frames.
        self._held = np.zeros((n_channels, self._hop), np.float32)
        self._tail = np.zeros((n_channels, self._hop))
        self._at, self._n_in, self._n_out = -self._hop, 0, 0

    def push(self, samples: np.ndarray) -> np.ndarray:
        """The marked samples that are settled after these."""
        self._held = np.concatenate([self._held, samples], axis=1)
        self._n_in += samples.shape[1]
        return self._settled()

    def finish(self) -> np.ndarray:
        """The rest."""
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
        found = np.concatenate(pieces, axis=1) if pieces else np.zeros((len(self._held), 0), np.float32)
        self._n_out += found.shape[1]
        return found

    def _mark_of(self, frame: np.ndarray) -> np.ndarray:
        """The carrier under this frame, with every band `LEVEL_DB` below the frame's own."""
        places = (self._at + np.arange(frame.shape[1])) % len(self._carrier)
        noise = np.fft.rfft(self._carrier[places] * self._window)
        power = np.abs(np.fft.rfft(frame * self._window)) ** 2 @ self._bands.T
        gains = np.sqrt(power / (np.abs(noise) ** 2 @ self._bands.T + FLOOR)) * 10 ** (LEVEL_DB / 20)
        return np.fft.irfft((gains @ self._bands) * noise, frame.shape[1]) * self._window


def check(waveform: Waveform, key: str) -> Finding:
    """Whether a sound carries the mark of this key."""
    sound = resample(waveform, CHECK_RATE_HZ).samples.mean(axis=0).astype(np.float64)
    duration_s = len(sound) / CHECK_RATE_HZ
    if duration_s < LEAST_S:
        return Finding(0.0, duration_s)
    white = _whitened(sound)
    folded = np.pad(white, (0, -len(white) % CHECK_RATE_HZ)).reshape(-1, CHECK_RATE_HZ).sum(axis=0)
    return Finding(_best_match(folded, key), duration_s)


def _best_match(folded: np.ndarray, key: str) -> float:
    """How far the carrier's best fit stands out among all shifts, halves of a sample too: the beginning may be cut."""
    product = np.fft.rfft(folded) * np.conj(np.fft.rfft(carrier(key, CHECK_RATE_HZ)))
    matches = np.fft.irfft(product, 2 * CHECK_RATE_HZ)
    return float(matches.max()) / max(float(np.sqrt(np.mean(matches**2))), FLOOR)


def _whitened(sound: np.ndarray) -> np.ndarray:
    """The sound with what hides the carrier held down: lines that stand out of their band by as much, twice over."""
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
    """Which lines of a frame are in which band, [bands, lines] of 0 and 1."""
    lines_hz = np.fft.rfftfreq(n_frame, 1 / rate_hz)
    edges = [float(LOW_HZ)]
    while edges[-1] < HIGH_HZ:
        edges.append(edges[-1] + max(rate_hz / n_frame, BAND_SHARE * edges[-1]))
    rows = np.stack([(lines_hz >= low) & (lines_hz < high) for low, high in pairwise(edges)])
    return rows[rows.any(axis=1)].astype(np.float64)
