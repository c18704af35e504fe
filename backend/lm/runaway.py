"""Detection of runaway speech: longer than its text allows, or repeating in a loop."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

# Why generation ended; for several segments, the reason furthest right counts.
FinishReason = Literal["stop", "pointer_end", "length", "repetition"]
REASONS: tuple[FinishReason, ...] = ("stop", "pointer_end", "length", "repetition")

# Initial estimate: slow speech has about 12 letters a second, or 4 Chinese characters of 3 bytes each.
BYTES_PER_S = 12.0
# Text may take this many times the measured time (pauses, numbers, abbreviations)...
SLACK = 3.0
# ...plus this many seconds.
SPARE_S = 4.0

LONGEST_PERIOD_FRAMES = 128
# Shorter repetitions do not count: a held vowel or a pause may last this long.
MIN_LOOP_S = 3.0
# A mismatching frame subtracts this many matching ones.
MISMATCH_PENALTY = 2


class RunawayLimits(NamedTuple):
    """Limits for runaway detection. `longest_frames`: see `SpeechLengthModel.longest`."""

    frame_rate_hz: float
    longest_frames: int
    retries: int = 1


class SpeechLengthModel:
    """Estimates how many frames a text takes, from finished speech. Text lengths are in UTF-8 bytes."""

    def __init__(self, frame_rate_hz: float):
        self.frame_rate_hz = frame_rate_hz
        # A prior of a few sentences at the usual pace, so that the first sentence does not decide alone.
        self._n_bytes = 200.0
        self._n_frames = self._n_bytes * frame_rate_hz / BYTES_PER_S

    @property
    def frames_per_byte(self) -> float:
        return self._n_frames / self._n_bytes

    def learn(self, text: str, n_frames: int) -> None:
        """Adds a text that was spoken to its end, or a reference and its transcript."""
        n_bytes = len(text.encode())
        if n_bytes and n_frames:
            # Exponential forgetting with a half-life of 2000 bytes: another voice has another pace.
            fade = 0.5 ** (n_bytes / 2000)
            self._n_bytes = self._n_bytes * fade + n_bytes
            self._n_frames = self._n_frames * fade + n_frames

    def longest(self, text: str) -> int:
        """Returns the maximum number of frames a regular reading of `text` takes."""
        return math.ceil(SLACK * self.frames_per_byte * len(text.encode()) + SPARE_S * self.frame_rate_hz)


def worse(one: FinishReason, other: FinishReason) -> FinishReason:
    """Returns the worse of two finish reasons, the one to report."""
    return max(one, other, key=REASONS.index)


class LoopDetector:
    """Detects main ids that repeat with a period of up to 128 frames, tolerating occasional mismatches.

    A loop counts after 3 s and at least two repetitions of its first round.
    """

    def __init__(self, frame_rate_hz: float):
        self.min_run = math.ceil(MIN_LOOP_S * frame_rate_hz)
        self._recent = np.full(LONGEST_PERIOD_FRAMES, -1, dtype=np.int64)  # newest first
        self._periods = np.arange(1, LONGEST_PERIOD_FRAMES + 1)
        self._runs = np.zeros(LONGEST_PERIOD_FRAMES, dtype=np.int64)
        self._needed = np.maximum(self.min_run, 2 * self._periods)
        self.n_frames = 0

    def push(self, main_id: int) -> bool:
        """Adds the next main id; returns true while the speech repeats."""
        is_match = self._recent == main_id
        self._runs = np.where(is_match, self._runs + 1, np.maximum(self._runs - MISMATCH_PENALTY, 0))
        self._recent[1:] = self._recent[:-1]
        self._recent[0] = main_id
        self.n_frames += 1
        return bool((self._runs >= self._needed).any())

    @property
    def n_before_loop(self) -> int:
        """Frames up to the end of the loop's first round, the part worth keeping."""
        longest = int((self._runs - self._needed).argmax())
        return max(self.n_frames - int(self._runs[longest]), 0)
