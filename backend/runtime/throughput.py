"""Throughput estimate in frames per second, and the timeouts derived from it."""

from __future__ import annotations

import threading

# Ordinary English takes 0.07 s a character, ordinary Chinese 0.25 s.
USUAL_S_PER_CHAR = 0.08
SLOWEST_S_PER_CHAR = 0.35
SPOKEN_MARGIN_S = 4.0
# Assumed before the first measurement: a large model on a slow CPU.
FIRST_FRAMES_PER_S = 10.0
BASE_S = 60.0
TIMEOUT_FACTOR = 6.0
DECAY = 0.9


class ThroughputEstimate:
    """Exponential moving average of one row's frames per second. Thread-safe."""

    def __init__(self) -> None:
        self._frames_per_s: float | None = None
        self._lock = threading.Lock()

    @property
    def frames_per_s(self) -> float:
        """Current estimate for one row."""
        with self._lock:
            return FIRST_FRAMES_PER_S if self._frames_per_s is None else self._frames_per_s

    def update(self, n_frames: int, duration_s: float) -> None:
        """Add a measurement: one row generated `n_frames` in `duration_s`."""
        if n_frames < 1 or duration_s <= 0:
            return
        with self._lock:
            self._frames_per_s = _averaged(self._frames_per_s, n_frames / duration_s)

    def timeout_s(self, n_frames: int) -> float:
        """Return the timeout for generating `n_frames`: several times the estimate, plus a constant."""
        return BASE_S + TIMEOUT_FACTOR * n_frames / self.frames_per_s


def usual_frames(text: str, frame_rate_hz: float) -> int:
    """Estimate the number of frames of spoken `text`."""
    return max(1, round((1 + USUAL_S_PER_CHAR * _spoken_length(text)) * frame_rate_hz))


def frame_budget(text: str, frame_rate_hz: float) -> int:
    """Return an upper bound on the frames of spoken `text`; a longer generation is a runaway."""
    spoken_s = SPOKEN_MARGIN_S + SLOWEST_S_PER_CHAR * _spoken_length(text)
    return max(1, round(spoken_s * frame_rate_hz))


def _spoken_length(text: str) -> int:
    """Return the number of characters, counting digits three times because they are read as words."""
    return sum(3 if character.isdigit() else 1 for character in text)


def _averaged(old: float | None, new: float) -> float:
    return new if old is None else DECAY * old + (1 - DECAY) * new
