"""Segments of stems to one continuous mix: levels set once, room and limiter carried over the seams.

Everything but the limiter is linear, so segments that ring into each other add up. What is returned is final: the tone
filter looks `PRE_ROLL_S` back and ahead, the limiter twice its lookahead, and both are waited for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from backend.audio.loudness import loudness_lufs
from backend.audio.waveform import Waveform
from backend.music.mixing import (
    LOOKAHEAD_S,
    MixOptions,
    Room,
    bus_gains,
    limiter_gain,
    pan_and_send,
    stem_gain,
)

PRE_ROLL_S = 0.25
ROOM_TAIL_S = 1.2
ROOM_STEP_S = 1.0
SILENCE_RMS = 1e-4


class StreamingMix:
    """Mixes mono stems of `roles` at `rate_hz` to stereo; with `has_stems` each stem is finished as well."""

    def __init__(self, roles: Sequence[str], rate_hz: int, options: MixOptions, has_stems: bool = False):
        self.rate_hz, self.options, self.has_stems = rate_hz, options, has_stems
        self._roles = list(roles)
        self._gains: list[float | None] = [None] * len(self._roles)
        self._gain = 1.0
        self._rooms: dict[int, Room] = {}
        self._half = max(1, round(LOOKAHEAD_S * rate_hz))
        # Mixed samples from `_start` on, not finished; the limiter needs some that have been returned already.
        n_lines = 1 + (len(self._roles) if has_stems else 0)
        self._mixed = np.zeros((n_lines, 2, 0), np.float32)
        self._start = self._done = 0

    def calibrate(self, stems: Sequence[Waveform]) -> None:
        """Sets levels and loudness by these stems, the fullest segment of the piece. Call it once, first."""
        self._set_gains(stems)
        mixed = self._room(self._buses(stems).sum(axis=0))
        lufs = loudness_lufs(Waveform(mixed, self.rate_hz))
        if lufs > -math.inf:
            self._gain = 10 ** ((self.options.loudness_lufs - lufs) / 20)

    def add(self, stems: Sequence[Waveform], start: int) -> None:
        """Adds a segment whose first sample lies at `start` of the piece."""
        self._set_gains(stems)
        buses = self._buses(stems)
        lines = [buses.sum(axis=0), *(buses if self.has_stems else ())]
        pre_roll = round(PRE_ROLL_S * self.rate_hz)
        for i, line in enumerate(lines):
            mixed = self._room(line)
            at = start - pre_roll - self._start
            mixed, at = mixed[:, max(0, -at) :], max(0, at)
            missing = at + mixed.shape[1] - self._mixed.shape[2]
            if missing > 0:
                self._mixed = np.pad(self._mixed, ((0, 0), (0, 0), (0, missing)))
            self._mixed[i, :, at : at + mixed.shape[1]] += mixed

    def take(self, end: int) -> np.ndarray:
        """Finished samples [1 + stems, 2, n] up to what is final when everything before `end` was added."""
        final = max(self._done, end - round(PRE_ROLL_S * self.rate_hz) - 2 * self._half)
        return self._finished(final)

    def rest(self, end: int) -> np.ndarray:
        """All samples up to `end`, when nothing will be added any more."""
        return self._finished(end)

    def _finished(self, end: int) -> np.ndarray:
        missing = end + 2 * self._half - self._start - self._mixed.shape[2]
        if missing > 0:
            self._mixed = np.pad(self._mixed, ((0, 0), (0, 0), (0, missing)))
        stop = end - self._start
        piece = self._mixed[:, :, : stop + 2 * self._half]
        peaks = torch.from_numpy(np.abs(piece[0]).max(axis=0) * np.float32(self._gain))
        limit = 10 ** (self.options.peak_limit_db / 20)
        gain = limiter_gain(peaks, limit, self._half).numpy() * np.float32(self._gain)
        first = self._done - self._start
        finished = piece[:, :, first:stop] * gain[first:stop]
        self._done = end
        keep_from = max(0, stop - 2 * self._half)
        self._mixed = self._mixed[:, :, keep_from:].copy()
        self._start += keep_from
        return np.ascontiguousarray(finished)

    def _set_gains(self, stems: Sequence[Waveform]) -> None:
        for i, (stem, role) in enumerate(zip(stems, self._roles, strict=True)):
            if self._gains[i] is None and float(np.abs(stem.samples).max(initial=0)) > SILENCE_RMS:
                self._gains[i] = stem_gain(stem, role)

    def _buses(self, stems: Sequence[Waveform]) -> np.ndarray:
        """Left, right and room bus of every stem [S, 3, N]."""
        buses = np.zeros((len(stems), 3, stems[0].n_samples), np.float32)
        for i, (stem, role) in enumerate(zip(stems, self._roles, strict=True)):
            gain = self._gains[i]
            if gain is not None:
                buses[i] = bus_gains(gain, *pan_and_send(role, self.options)) * stem.samples
        return buses

    def _room(self, buses: np.ndarray) -> np.ndarray:
        """Buses [3, N] with room and tone, [2, N + ...]: from the pre-roll to the end of the room."""
        pre_roll, step = round(PRE_ROLL_S * self.rate_hz), round(ROOM_STEP_S * self.rate_hz)
        n = pre_roll + buses.shape[1] + round(ROOM_TAIL_S * self.rate_hz) + pre_roll
        n = -(-n // step) * step
        if n not in self._rooms:
            self._rooms[n] = Room(self.options, self.rate_hz, n)
        padded = np.zeros((3, n), np.float32)
        padded[:, pre_roll : pre_roll + buses.shape[1]] = buses
        return self._rooms[n](padded)
