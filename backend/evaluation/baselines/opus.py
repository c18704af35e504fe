"""The Opus baseline, run through opus-tools."""

from __future__ import annotations

import tempfile
from pathlib import Path

from backend.audio.files import read_audio, write_audio
from backend.audio.waveform import Waveform
from backend.evaluation.baselines.ogg_opus import opus_cost
from backend.evaluation.baselines.subprocess_codec import program_version, require_program, run_program
from backend.evaluation.codec.systems import CodedAudio


class Opus:
    """Opus at a variable target bitrate with 20 ms frames; the encoder chooses the bandwidth."""

    def __init__(self, target_kbps: float):
        self.target_kbps = target_kbps
        self.name = f"opus-{target_kbps:g}"
        self._encoder = require_program("opusenc", "opus-tools")
        self._decoder = require_program("opusdec", "opus-tools")
        self.identity = f"opus-1 {target_kbps:g} {program_version(self._encoder)} {program_version(self._decoder)}"

    def code(self, sound: Waveform) -> CodedAudio:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_audio(folder / "in.wav", sound)
            run_program(
                [self._encoder, "--quiet", "--bitrate", f"{self.target_kbps:g}", "--padding", "0", "in.wav", "coded.opus"],
                folder,
            )  # fmt: skip
            run_program([self._decoder, "--quiet", "--no-dither", "--rate", "48000", "coded.opus", "out.wav"], folder)
            content = (folder / "coded.opus").read_bytes()
            decoded = read_audio(folder / "out.wav", max_duration_s=sound.duration_s + 60)
        cost = opus_cost(content)
        bandwidth_hz = min(cost.bandwidth_hz, sound.rate_hz / 2)
        return CodedAudio(decoded.mono(), cost.payload_bytes, len(content), bandwidth_hz)
