"""A music engine that needs no time: silence and one note, with everything an engine has."""

from __future__ import annotations

import threading

import numpy as np

from backend.audio.waveform import Waveform
from backend.errors import NotSupported
from backend.music.composer import CompositionRequest, compose
from backend.music.midi import to_midi
from backend.pipeline.music.engine import MusicCapabilities, MusicChunk
from backend.pipeline.music.score_engine import composition_of

RATE_HZ = 44_100
MADE_S = 0.2


class FakeMusicStream:
    sample_rate_hz, n_channels = RATE_HZ, 2

    def __init__(self, request):
        composition, self.not_understood = composition_of(request)
        self.score = compose(CompositionRequest(seed=1, duration_s=4))
        self.duration_s = min(composition.duration_s, MADE_S)
        self.labels = {"tempo_bpm": 90, "duration_s": self.duration_s}
        self.midi = to_midi(self.score)
        self.stem_names = ("1-piano",) if request.has_stems else ()
        self.ignored = ()
        self._is_cancelled = threading.Event()

    def change_prompt(self, text):
        raise NotSupported("This piece cannot change.")

    def cancel(self):
        self._is_cancelled.set()

    def __iter__(self):
        sound = Waveform(np.zeros((2, round(self.duration_s * RATE_HZ)), np.float32), RATE_HZ)
        yield MusicChunk(sound, (sound,) * len(self.stem_names))


class FakeMusicEngine:
    """Checks requests as the score engine does."""

    name, sample_rate_hz, n_channels = "score", RATE_HZ, 2
    capabilities = MusicCapabilities(has_midi=True, has_stems=True)

    def begin(self, request):
        return FakeMusicStream(request)
