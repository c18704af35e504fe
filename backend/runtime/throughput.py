"""How fast this machine speaks, learned from what it did, and how long a request may therefore take."""

from __future__ import annotations

import threading

# Ordinary English takes 0.07 s a character, ordinary Chinese 0.25 s.
USUAL_S_PER_CHAR = 0.08
SLOWEST_S_PER_CHAR = 0.35
SPOKEN_MARGIN_S = 4.0
# Until something has been measured: ten frames a second is a large model on a small processor.
FIRST_FRAMES_PER_S = 10.0
BASE_S = 60.0
PATIENCE = 6.0
MEMORY = 0.9


class ThroughputEstimate:
    """A moving average of frames per second of one row. Thread-safe."""

    def __init__(self) -> None:
        self._frames_per_s: float | None = None
        self._lock = threading.Lock()

    @property
    def frames_per_s(self) -> float:
        """Frames per second of one row as last measured."""
        with self._lock:
            return FIRST_FRAMES_PER_S if self._frames_per_s is None else self._frames_per_s

    @property
    def is_measured(self) -> bool:
        with self._lock:
            return self._frames_per_s is not None

    def learn(self, n_frames: int, duration_s: float) -> None:
        """A row made `n_frames` in `duration_s`."""
        if n_frames < 1 or duration_s <= 0:
            return
        with self._lock:
            self._frames_per_s = _averaged(self._frames_per_s, n_frames / duration_s)

    def timeout_s(self, n_frames: int) -> float:
        """How long making `n_frames` may take before it counts as stuck: several times the measured pace."""
        return BASE_S + PATIENCE * n_frames / self.frames_per_s


def usual_frames(text: str, frame_rate_hz: float) -> int:
    """About how many frames speaking `text` takes."""
    return max(1, round((1 + USUAL_S_PER_CHAR * _spoken_length(text)) * frame_rate_hz))


def frame_budget(text: str, frame_rate_hz: float) -> int:
    """Frames nobody needs to speak `text`: a model still speaking then has lost its way."""
    spoken_s = SPOKEN_MARGIN_S + SLOWEST_S_PER_CHAR * _spoken_length(text)
    return max(1, round(spoken_s * frame_rate_hz))


def _spoken_length(text: str) -> int:
    """Characters, counting digits three times: they are read as words."""
    return sum(3 if character.isdigit() else 1 for character in text)


def _averaged(old: float | None, new: float) -> float:
    return new if old is None else MEMORY * old + (1 - MEMORY) * new
