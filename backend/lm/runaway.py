"""Speech that runs away: longer than its text can be, or going in circles."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

# Why a piece of speech ended; of several pieces the one furthest right counts.
FinishReason = Literal["stop", "pointer_end", "length", "repetition"]
REASONS: tuple[FinishReason, ...] = ("stop", "pointer_end", "length", "repetition")

# Before anything was measured: read slowly, a second holds about 12 letters, or 4 Chinese characters of 3 bytes each.
BYTES_PER_S = 12.0
# Texts are spoken up to this many times slower than measured, pauses, numbers and abbreviations included...
SLACK = 3.0
# ...and the shortest may still take this long.
SPARE_S = 4.0

LONGEST_PERIOD_FRAMES = 128
# A vowel may be held, a pause may last: this long nothing counts as a circle.
PATIENCE_S = 3.0
# What one frame outside the circle takes back of what one inside gives.
MISS = 2


class RunawayLimits(NamedTuple):
    """What runaway speech is told by. `longest_frames`: see `SpeechLengthModel.longest`."""

    frame_rate_hz: float
    longest_frames: int
    retries: int = 1


class SpeechLengthModel:
    """How many frames a text takes, learned from speech that ended by itself. Lengths of text are in UTF-8 bytes."""

    def __init__(self, frame_rate_hz: float):
        self.frame_rate_hz = frame_rate_hz
        # As if a few sentences at the usual pace had been heard, so that the first one does not decide.
        self._n_bytes = 200.0
        self._n_frames = self._n_bytes * frame_rate_hz / BYTES_PER_S

    @property
    def frames_per_byte(self) -> float:
        return self._n_frames / self._n_bytes

    def learn(self, text: str, n_frames: int) -> None:
        """Count a text that was spoken to its end, or a reference and its transcript."""
        n_bytes = len(text.encode())
        if n_bytes and n_frames:
            # Old speech fades: after some 2000 bytes another voice has its own pace.
            fade = 0.5 ** (n_bytes / 2000)
            self._n_bytes = self._n_bytes * fade + n_bytes
            self._n_frames = self._n_frames * fade + n_frames

    def longest(self, text: str) -> int:
        """Frames no honest reading of `text` takes more than."""
        return math.ceil(SLACK * self.frames_per_byte * len(text.encode()) + SPARE_S * self.frame_rate_hz)


def worse(one: FinishReason, other: FinishReason) -> FinishReason:
    """The reason that a listener should rather know of."""
    return max(one, other, key=REASONS.index)


class LoopDetector:
    """Notices main ids that go in circles of up to 128 frames, also with a slip here and there.

    A circle counts once it has been gone through for 3 s and at least twice more than the first time.
    """

    def __init__(self, frame_rate_hz: float):
        self.patience = math.ceil(PATIENCE_S * frame_rate_hz)
        self._recent = np.full(LONGEST_PERIOD_FRAMES, -1, dtype=np.int64)  # newest first
        self._periods = np.arange(1, LONGEST_PERIOD_FRAMES + 1)
        self._runs = np.zeros(LONGEST_PERIOD_FRAMES, dtype=np.int64)
        self._needed = np.maximum(self.patience, 2 * self._periods)
        self.n_frames = 0

    def push(self, main_id: int) -> bool:
        """Hear the next main id; true when the speech goes in circles."""
        is_match = self._recent == main_id
        self._runs = np.where(is_match, self._runs + 1, np.maximum(self._runs - MISS, 0))
        self._recent[1:] = self._recent[:-1]
        self._recent[0] = main_id
        self.n_frames += 1
        return bool((self._runs >= self._needed).any())

    @property
    def n_before_loop(self) -> int:
        """Frames up to the end of the circle's first round: what is worth keeping."""
        longest = int((self._runs - self._needed).argmax())
        return max(self.n_frames - int(self._runs[longest]), 0)
