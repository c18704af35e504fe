"""The hibari-tts voice as a teacher: one fast speaker, and further speakers by resampling it."""

from __future__ import annotations

import json
import zlib
from importlib import resources

import numpy as np

from backend.audio.resample import resample
from backend.audio.waveform import Waveform
from backend.data.frame_alignment import DurationUnit
from backend.data.synthesis.teacher import TeacherSpeech, open_network
from backend.errors import BadSettings

RATE_HZ = 24_000
UNIT_SAMPLES = 600
DURATIONS = "/Clip_output_0"
VOICE = "hibari_heart"
FACTORS = (0.75, 1.3)


class HibariTeacher:
    """`hibari_heart`, or `hibari_heart~0.9`: synthesized faster to compensate for playback at 0.9 times the speed."""

    max_symbols = 400

    def __init__(self, threads: int = 1) -> None:
        assets = resources.files("hibari").joinpath("assets")
        self._ids = json.loads(assets.joinpath("vocab.json").read_text(encoding="utf-8"))
        self._session = open_network(assets.joinpath("hibari.onnx").read_bytes(), DURATIONS, threads)
        self.symbols = frozenset(self._ids)
        self.voices = (VOICE,)

    def speak(self, symbols: str, speaker: str, speed: float) -> TeacherSpeech:
        """Synthesizes symbols. Raises `BadSettings` for another speaker or a factor outside `FACTORS`."""
        from hibari import dsp

        factor = _factor(speaker)
        ids = [self._ids[symbol] for symbol in symbols]
        *spectra, durations = self._session.run(
            None, {"ids": np.array([[0, *ids, 0]], np.int64), "speed": np.array([speed / factor], np.float32)}
        )
        # Seed its noise with the text, so that equal utterances give equal audio.
        noise = np.random.default_rng(zlib.crc32(f"{speaker} {speed} {symbols}".encode()))
        samples = dsp.synth(*(part[0] for part in spectra), noise)
        counts = tuple(int(duration) for duration in durations.reshape(-1))
        # Resampling changes pitch, timbre and tempo; synthesis compensated for the tempo.
        resampled = resample(Waveform.of(samples, round(RATE_HZ * factor)), RATE_HZ)
        return TeacherSpeech(
            resampled.samples[0], RATE_HZ, counts, DurationUnit(UNIT_SAMPLES, RATE_HZ).speed_perturbed(factor)
        )


def _factor(speaker: str) -> float:
    name, mark, factor = speaker.partition("~")
    try:
        value = float(factor) if mark else 1.0
    except ValueError:
        value = 0.0
    if name != VOICE or not FACTORS[0] <= value <= FACTORS[1]:
        raise BadSettings(
            f"Unknown speaker '{speaker}'; expected {VOICE}, or {VOICE}~F with F from {FACTORS[0]} to {FACTORS[1]}."
        )
    return value
