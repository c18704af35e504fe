"""Crossfades between audio segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from backend.audio.waveform import Waveform
from backend.errors import BadAudio

Curve = Literal["equal_power", "linear"]
OVERLAP_S = 0.02


def fade_in(n_samples: int, curve: Curve) -> np.ndarray:
    """Return gains, float32 [n], rising from 0 to 1; reverse them for a fade out.

    `equal_power` keeps the level of uncorrelated signals, `linear` that of correlated ones.
    """
    place = (np.arange(n_samples) + 0.5) / max(n_samples, 1)
    gains = {"equal_power": np.sin(place * np.pi / 2), "linear": place}[curve]
    return gains.astype(np.float32)


def fade_edges(waveform: Waveform, fade_s: float = OVERLAP_S, curve: Curve = "linear") -> Waveform:
    """Fade in and out within `fade_s`, or half the duration if shorter."""
    n_fade = min(round(fade_s * waveform.rate_hz), waveform.n_samples // 2)
    samples = waveform.samples.copy()
    gains = fade_in(n_fade, curve)
    samples[:, :n_fade] *= gains
    samples[:, waveform.n_samples - n_fade :] *= gains[::-1]
    return Waveform(samples, waveform.rate_hz)


def join(
    pieces: Sequence[Waveform], overlap_s: float = OVERLAP_S, pause_s: float = 0.0, curve: Curve = "equal_power"
) -> Waveform:
    """Join pieces with a crossfade over `overlap_s`, or with `pause_s` of silence between faded edges.

    Raises `BadAudio` for no pieces, or pieces of different rates or channel counts.
    """
    if not pieces:
        raise BadAudio("There are no pieces to join; give at least one.")
    kinds = {(piece.rate_hz, piece.n_channels) for piece in pieces}
    if len(kinds) > 1:
        raise BadAudio(f"The pieces have rates and channels {sorted(kinds)}; expected one kind. Resample or mix first.")
    rate_hz = pieces[0].rate_hz
    joiner = CrossfadeStream(pieces[0].n_channels, round(overlap_s * rate_hz), curve)
    parts = []
    for index, piece in enumerate(pieces):
        if index:
            parts.append(joiner.next_piece(round(pause_s * rate_hz)))
        parts.append(joiner.push(piece.samples))
    parts.append(joiner.finish())
    return Waveform(np.concatenate(parts, axis=1), rate_hz)


class CrossfadeStream:
    """Joins pieces as they arrive, buffering at most the overlap (twice that during a transition).

    The output does not depend on the chunking. Length law: a crossfade removes min(overlap, buffered before, length
    after) samples; a pause adds its length.
    """

    def __init__(self, n_channels: int, overlap_samples: int, curve: Curve = "equal_power"):
        if n_channels < 1 or overlap_samples < 0:
            raise BadAudio(f"Cannot join {n_channels} channels over {overlap_samples} samples; both must be positive.")
        self.n_channels, self.overlap_samples, self.curve = n_channels, overlap_samples, curve
        self._held = self._empty()  # the end of the current piece
        self._before: np.ndarray | None = None  # the end of the previous piece, until the transition is complete
        self._pause_samples = 0
        self._is_finished = False

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Add samples of the current piece, float32 [C, N]; returns final samples, [C, M]."""
        self._require_open()
        if samples.ndim != 2 or samples.shape[0] != self.n_channels:
            raise BadAudio(f"Samples have shape {samples.shape}; this joiner takes [{self.n_channels}, N].")
        self._held = np.concatenate([self._held, samples.astype(np.float32, copy=False)], axis=1)
        if self._before is not None:
            if self._held.shape[1] < self.overlap_samples:
                return self._empty()
            settled = self._crossfade()
            return np.concatenate([settled, self._release(self.overlap_samples)], axis=1)
        return self._release(self.overlap_samples)

    def next_piece(self, pause_samples: int = 0) -> np.ndarray:
        """End the current piece; the next one is crossfaded or follows after `pause_samples` of silence.

        Returns final samples, if any, [C, M]. An empty piece adds only its pause.
        """
        self._require_open()
        if pause_samples < 0:
            raise BadAudio(f"The pause is {pause_samples} samples; expected none or more.")
        settled = self._empty()
        if self._before is not None and self._held.shape[1]:
            # The piece is shorter than the overlap: crossfade the available samples.
            settled = self._crossfade()
        if self._before is None:
            self._before, self._held = self._held, self._empty()
            self._pause_samples = 0
        self._pause_samples += pause_samples
        return settled

    def finish(self) -> np.ndarray:
        """Return the rest of the last piece, [C, M]."""
        self._require_open()
        settled = self._empty() if self._before is None else self._crossfade()
        self._is_finished = True
        return np.concatenate([settled, self._release(0)], axis=1)

    def _crossfade(self) -> np.ndarray:
        """Complete the transition: returns the samples before the current piece and updates `_held`."""
        assert self._before is not None
        before, self._before = self._before, None
        if self._pause_samples:
            n_after = min(self.overlap_samples, self._held.shape[1])
            self._held[:, :n_after] *= fade_in(n_after, self.curve)
            silence = np.zeros((self.n_channels, self._pause_samples), np.float32)
            return np.concatenate([before * fade_in(before.shape[1], self.curve)[::-1], silence], axis=1)
        n_overlap = min(before.shape[1], self._held.shape[1], self.overlap_samples)
        gains = fade_in(n_overlap, self.curve)
        kept = before.shape[1] - n_overlap
        self._held[:, :n_overlap] = self._held[:, :n_overlap] * gains + before[:, kept:] * gains[::-1]
        return before[:, :kept]

    def _release(self, n_keep: int) -> np.ndarray:
        n_ready = max(0, self._held.shape[1] - n_keep)
        ready, self._held = self._held[:, :n_ready], self._held[:, n_ready:]
        return ready

    def _empty(self) -> np.ndarray:
        return np.zeros((self.n_channels, 0), np.float32)

    def _require_open(self) -> None:
        if self._is_finished:
            raise RuntimeError("This joiner is finished; make a new one for the next stream.")
