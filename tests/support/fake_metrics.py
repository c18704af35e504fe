"""Fake codecs and metrics with known results."""

from __future__ import annotations

import numpy as np

from backend.audio.waveform import Waveform
from backend.errors import BadAudio, ScoreUnavailable
from backend.evaluation.codec.metrics import Metric, MetricScore, Pair
from backend.evaluation.codec.systems import CodedAudio


class Delayed:
    """Returns the audio delayed and scaled, at one byte per millisecond."""

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
        raise BadAudio("This codec rejects everything.")


class Counted:
    """A metric that returns the peak of the decoded audio and counts its calls."""

    def __init__(self, name: str = "peak"):
        self.n_calls = 0
        self.metric = Metric(name, "peak", "higher", f"{name}-1", self.score)

    def score(self, pair: Pair) -> MetricScore:
        self.n_calls += 1
        return MetricScore(float(np.abs(pair.decoded).max()))


def undecided(pair: Pair) -> MetricScore:
    raise ScoreUnavailable("This metric has no score.")


UNDECIDED = Metric("undecided", "undecided", "lower", "undecided-1", undecided)
