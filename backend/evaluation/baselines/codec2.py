"""The Codec 2 baseline, run as a subprocess."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from backend.audio.pcm import from_int16, to_int16
from backend.audio.resample import resample
from backend.audio.waveform import Waveform
from backend.evaluation.baselines.subprocess_codec import program_version, require_program, run_program
from backend.evaluation.codec.systems import CodedAudio

RATE_HZ = 8000


class Codec2:
    """Codec 2 in one of its modes, such as 3200 bit/s; telephone bandwidth."""

    def __init__(self, mode: int):
        self.mode = mode
        self.name = f"codec2-{mode}"
        self._encoder = require_program("c2enc", "codec2")
        self._decoder = require_program("c2dec", "codec2")
        self.identity = f"codec2-1 {mode} {program_version(self._encoder)} {program_version(self._decoder)}"

    def code(self, sound: Waveform) -> CodedAudio:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            # The encoder drops an incomplete frame, so pad with silence.
            narrow = np.pad(resample(sound, RATE_HZ).samples[0], (0, RATE_HZ // 25))
            to_int16(narrow).astype("<i2").tofile(folder / "in.raw")
            # An output name without the suffix .c2 omits the file header.
            run_program([self._encoder, str(self.mode), "in.raw", "coded.bin"], folder)
            run_program([self._decoder, str(self.mode), "coded.bin", "out.raw"], folder)
            n_bytes = (folder / "coded.bin").stat().st_size
            samples = from_int16(np.fromfile(folder / "out.raw", "<i2"))
        return CodedAudio(Waveform(samples[None], RATE_HZ), n_bytes, n_bytes, RATE_HZ / 2)
