"""Coders and judges that stand in for real ones: quick, and their results are known."""

from __future__ import annotations

import numpy as np

from backend.audio.waveform import Waveform
from backend.errors import BadAudio, ScoreUnavailable
from backend.evaluation.codec.metrics import Metric, Pair, Score
from backend.evaluation.codec.systems import CodedAudio


class Delayed:
    """Gives the sound back later and quieter, for a byte a millisecond."""

    def __init__(self, name: str = "delayed-1", lag_ms: float = 15.0, gain: float = 1.0):
        self.name = name
        self.identity = f"{name} {lag_ms} {gain}"
        self.lag_ms, self.gain = lag_ms, gain
        self.n_calls = 0

    def code(self, sound: Waveform) -> CodedAudio:
        self.n_calls += 1
        late = np.pad(sound.samples * np.float32(self.gain), ((0, 0), (round(self.lag_ms * sound.rate_hz / 1000), 0)))
        n_bytes = round(sound.duration_s * 1000)
        return CodedAudio(Waveform(late, sound.rate_hz), n_bytes, n_bytes + 50, sound.rate_hz / 2)


class Refusing:
    name = identity = "refusing-1"

    def code(self, sound: Waveform) -> CodedAudio:
        raise BadAudio("This coder takes nothing.")


class Counted:
    """A judge that gives the peak of the decoding, and counts how often it was asked."""

    def __init__(self, name: str = "peak"):
        self.n_calls = 0
        self.judge = Metric(name, "peak", "higher", f"{name}-1", self.score)

    def score(self, pair: Pair) -> Score:
        self.n_calls += 1
        return Score(float(np.abs(pair.decoded).max()))


def undecided(pair: Pair) -> Score:
    raise ScoreUnavailable("This judge never knows.")


UNDECIDED = Metric("undecided", "undecided", "lower", "undecided-1", undecided)
