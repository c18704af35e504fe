"""Time stretching: changes the speed at the same pitch, whole or streaming.

WSOLA (Verhelst and Roelands, 1993): overlapping windows are read and written with different hops. Each window is
shifted by up to 10 ms to the best continuation of the previous one, so that pitch periods align instead of cancelling.
"""

from __future__ import annotations

import math

import numpy as np

from backend.audio.waveform import Waveform
from backend.errors import BadAudio

MIN_SPEED, MAX_SPEED = 0.25, 4.0
# Two pitch periods of the deepest voices, and a search range for the next period.
WINDOW_S = 0.03
SEARCH_S = 0.01


def stretch(waveform: Waveform, speed: float) -> Waveform:
    """Change the duration by 1/speed. Raises `BadAudio` for speeds outside 0.25 to 4."""
    stretcher = StreamStretcher(waveform.n_channels, waveform.rate_hz, speed)
    parts = [stretcher.push(waveform.samples), stretcher.finish()]
    return Waveform(np.concatenate(parts, axis=1), waveform.rate_hz)


class StreamStretcher:
    """Stretches a stream with a latency of about 50 ms of input.

    The output has round(samples in / speed) samples and is bit-identical for any chunking.
    """

    def __init__(self, n_channels: int, rate_hz: int, speed: float):
        if not MIN_SPEED <= speed <= MAX_SPEED:
            raise BadAudio(f"The speed is {speed:g}; expected {MIN_SPEED:g} to {MAX_SPEED:g}. Change it.")
        self.n_channels, self.speed = n_channels, speed
        self._hop = max(1, round(WINDOW_S * rate_hz / 2))
        self._n_window = 2 * self._hop
        self._n_search = max(1, round(SEARCH_S * rate_hz))
        # Windows shifted by half their length add up to one.
        self._window = (0.5 - 0.5 * np.cos(np.pi * (np.arange(self._n_window) + 0.5) / self._hop)).astype(np.float32)
        self._n_fft = 2 ** math.ceil(math.log2(2 * self._n_window + 2 * self._n_search))
        self._input = np.zeros((n_channels, self._n_search), np.float32)
        self._start = -self._n_search  # position of the first sample of `_input`
        self._n_in = 0
        self._n_out = 0
        self._n_windows = 0
        self._place = 0  # of the previous window
        self._tail = np.zeros((n_channels, self._hop), np.float32)
        self._is_finished = False

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Add samples, float32 [C, N]; returns final samples, [C, M]."""
        self._require_open()
        if samples.ndim != 2 or samples.shape[0] != self.n_channels:
            raise BadAudio(f"Samples have shape {samples.shape}; expected [{self.n_channels}, N].")
        self._n_in += samples.shape[1]
        self._input = np.concatenate([self._input, samples.astype(np.float32, copy=False)], axis=1)
        return self._advance(math.inf)

    def finish(self) -> np.ndarray:
        """Return the remaining samples, [C, M]."""
        self._require_open()
        self._is_finished = True
        n_left = round(self._n_in / self.speed) - self._n_out
        # Append silence for the reach of the last window.
        n_reach = math.ceil(self._hop * (self.speed + 3)) + 2 * self._n_search + self._n_window
        self._input = np.pad(self._input, ((0, 0), (0, n_reach)))
        return self._advance(n_left)

    def _advance(self, n_max: float) -> np.ndarray:
        """Return up to `n_max` samples, as many windows as the input allows."""
        parts = [np.zeros((self.n_channels, 0), np.float32)]
        n_made = 0
        while n_made < n_max and self._has_input():
            parts.append(self._next_hop())
            n_made += self._hop
        out = np.concatenate(parts, axis=1)
        if n_made > n_max:
            out = out[:, : max(0, int(n_max))]
        self._n_out += out.shape[1]
        return out

    @property
    def _nominal(self) -> int:
        return round(self._n_windows * self._hop * self.speed)

    def _has_input(self) -> bool:
        furthest = max(self._nominal + self._n_search, self._place + self._hop) + self._n_window
        # At high speeds, a hop covers more input than its window.
        furthest = max(furthest, math.ceil((self._n_windows + 1) * self._hop * self.speed))
        return self._start + self._input.shape[1] >= furthest

    def _next_hop(self) -> np.ndarray:
        self._place = self._best_place() if self._n_windows else 0
        taken = self._cut(self._place, self._n_window)
        if self._n_windows:
            taken = taken * self._window
            hop = self._tail + taken[:, : self._hop]
            self._tail = taken[:, self._hop :]
        else:
            hop, self._tail = taken[:, : self._hop].copy(), taken[:, self._hop :] * self._window[self._hop :]
        self._n_windows += 1
        self._drop_input(min(self._nominal - self._n_search, self._place + self._hop))
        return hop

    def _best_place(self) -> int:
        """Return the position near the nominal one that best continues the previous window."""
        first = self._nominal - self._n_search
        target = self._cut(self._place + self._hop, self._n_window).sum(axis=0, dtype=np.float64)
        around = self._cut(first, self._n_window + 2 * self._n_search).sum(axis=0, dtype=np.float64)
        n_places = 2 * self._n_search + 1
        product = np.fft.rfft(around, self._n_fft) * np.fft.rfft(target, self._n_fft).conj()
        similarity = np.fft.irfft(product, self._n_fft)[:n_places]
        energy = np.concatenate([[0.0], np.cumsum(around * around)])
        energy = energy[self._n_window :][:n_places] - energy[:n_places]
        # In near silence, rounding errors would decide.
        scores = np.where(energy > 1e-9, similarity / np.sqrt(np.maximum(energy, 1e-9)), 0.0)
        best = int(scores.argmax())
        return first + best if scores[best] > 1e-6 else self._nominal

    def _cut(self, place: int, n_samples: int) -> np.ndarray:
        return self._input[:, place - self._start : place - self._start + n_samples]

    def _drop_input(self, before: int) -> None:
        # At high speeds, the next window may start beyond the available input.
        n_dropped = min(max(before - self._start, 0), self._input.shape[1])
        self._input = self._input[:, n_dropped:]
        self._start += n_dropped

    def _require_open(self) -> None:
        if self._is_finished:
            raise RuntimeError("This stretcher is finished; make a new one for the next stream.")
