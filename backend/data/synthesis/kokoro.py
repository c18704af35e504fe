"""Kokoro-82M as a teacher: many voices and their mixes, from an ONNX file and a folder of voice files."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np

from backend.data.frame_alignment import DurationUnit
from backend.data.synthesis.teacher import TeacherSpeech, open_network, read_network
from backend.errors import BadCheckpoint, BadSettings

RATE_HZ = 24_000
UNIT_SAMPLES = 600
# Duration of every symbol in units, in the int8 export of version 1.0.
DURATIONS = "/encoder/Gather_output_0"
STYLE_DIM = 256


class Kokoro:
    """Speakers are voice file names, or mixes such as `af_bella:0.6+am_puck:0.4`."""

    max_symbols = 500

    def __init__(self, model: Path, voices: Path, threads: int = 1) -> None:
        self._voices = voices
        self.voices = tuple(sorted(path.stem for path in voices.glob("*.bin")))
        if not self.voices:
            raise BadCheckpoint(f"'{voices.name}' has no voice files (.bin). Pass the folder of Kokoro's voices.")
        self._session = open_network(read_network(model), DURATIONS, threads)
        # hibari-tts ships the same symbol table.
        self._ids = json.loads(resources.files("hibari").joinpath("assets/vocab.json").read_text(encoding="utf-8"))
        self.symbols = frozenset(self._ids)
        self._style = lru_cache(maxsize=64)(self._read_style)

    def speak(self, symbols: str, speaker: str, speed: float) -> TeacherSpeech:
        """Synthesizes symbols. Raises `BadSettings` for a speaker without a voice file."""
        ids = [self._ids[symbol] for symbol in symbols]
        style = self._mixed(speaker)[len(ids)][None]
        samples, *_, durations = self._session.run(
            None, {"tokens": [[0, *ids, 0]], "style": style, "speed": np.array([speed], np.float32)}
        )
        counts = tuple(int(duration) for duration in np.asarray(durations).reshape(-1))
        samples = np.asarray(samples, np.float32).reshape(-1)
        if len(counts) != len(ids) + 2 or sum(counts) * UNIT_SAMPLES != len(samples):
            raise BadCheckpoint(
                f"The network returned {len(counts)} durations of {sum(counts)} units for {len(ids)} symbols and "
                f"{len(samples)} samples; expected the int8 export of Kokoro-82M v1.0."
            )
        return TeacherSpeech(samples, RATE_HZ, counts, DurationUnit(UNIT_SAMPLES, RATE_HZ))

    def _mixed(self, speaker: str) -> np.ndarray:
        """Returns the style [510, 256] of a speaker."""
        parts = [part.partition(":") for part in speaker.split("+")]
        return np.sum([self._style(name) * np.float32(weight or 1) for name, _, weight in parts], axis=0)

    def _read_style(self, name: str) -> np.ndarray:
        if name not in self.voices:
            raise BadSettings(f"Unknown voice '{name}'; available are {', '.join(self.voices)}. Choose one of these.")
        return np.fromfile(self._voices / f"{name}.bin", "<f4").reshape(-1, STYLE_DIM)
