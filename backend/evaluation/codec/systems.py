"""What is evaluated: anything that turns a sound into bytes and back."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from backend.audio.waveform import Waveform
from backend.codec.base import CausalCodec
from backend.compression.codes.inspect import survey_container
from backend.pipeline.codec.stream import decode_pieces, encode_waveform
from backend.weights import codes_hash, load_codec, weights_hash


@dataclass(frozen=True, slots=True)
class CodedAudio:
    """A sound after a round trip and what it cost.

    `payload_bytes` are the coded sound alone, `file_bytes` the file it was in; None where nothing was coded.
    `bandwidth_hz` is the highest frequency the coder can have kept in this sound.
    """

    decoded: Waveform
    payload_bytes: int | None
    file_bytes: int | None
    bandwidth_hz: float


class System(Protocol):
    """A coder at one setting. `identity` changes whenever its results could."""

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> str: ...

    def code(self, sound: Waveform) -> CodedAudio:
        """Code and decode a mono sound at its own rate. The result may lag; its rate may differ."""
        ...


class Original:
    """The sound itself: the ceiling of every score."""

    name = "original"
    identity = "original-1"

    def code(self, sound: Waveform) -> CodedAudio:
        return CodedAudio(sound, None, None, sound.rate_hz / 2)


class CodecSystem:
    """A Phonogram codec at one number of codebooks, through the bytes of a `.pgc` file."""

    def __init__(self, codec: CausalCodec, folder: Path, n_codebooks: int):
        self.codec = codec
        # A decoder may be trained on while codes keep their meaning: files carry one hash, scores depend on the other.
        self.weights, self.codes = weights_hash(folder), codes_hash(folder)
        self.n_codebooks = codec.check_codebooks(n_codebooks)
        self.name = f"{codec.spec.name}-{n_codebooks}"
        self.identity = f"pgc-1 {codec.spec.name} {self.weights} {n_codebooks}"

    def code(self, sound: Waveform) -> CodedAudio:
        file = io.BytesIO()
        encode_waveform(sound, self.codec, self.codes, file, self.n_codebooks)
        file.seek(0)
        survey = survey_container(file)
        file.seek(0)
        pieces = list(decode_pieces(file, survey.header, self.codec, self.codes))
        spec = self.codec.spec
        decoded = Waveform(np.concatenate(pieces, axis=1), spec.sample_rate_hz).mono()
        bandwidth_hz = min(spec.sample_rate_hz, sound.rate_hz) / 2
        return CodedAudio(decoded, survey.payload_bytes, survey.file_bytes, bandwidth_hz)


def codec_systems(folder: Path, codebook_counts: list[int] | None) -> list[CodecSystem]:
    """The codec of a checkpoint at each of `codebook_counts`; by default a quarter, half and all of its codebooks."""
    codec = load_codec(folder)
    total = codec.spec.n_codebooks
    counts = codebook_counts or sorted({max(1, total // 4), max(1, total // 2), total})
    return [CodecSystem(codec, folder, count) for count in sorted(set(counts))]


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
