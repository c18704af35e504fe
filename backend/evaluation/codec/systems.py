"""Systems under evaluation: anything that encodes audio to bytes and decodes it."""

from __future__ import annotations

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
    """Audio after a round trip, and its size.

    `payload_bytes` is the coded audio alone, `file_bytes` the whole file; None if nothing was encoded. `bandwidth_hz`
    is the highest frequency the codec can have kept.
    """

    decoded: Waveform
    payload_bytes: int | None
    file_bytes: int | None
    bandwidth_hz: float


class System(Protocol):
    """A codec at one setting. `identity` changes whenever its results could."""

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> str: ...

    def code(self, sound: Waveform) -> CodedAudio:
        """Encodes and decodes mono audio at its own rate. The result may be delayed and have another rate."""
        ...


class Original:
    """The unprocessed audio: the upper bound of every score."""

    name = "original"
    identity = "original-1"

    def code(self, sound: Waveform) -> CodedAudio:
        return CodedAudio(sound, None, None, sound.rate_hz / 2)


class CodecSystem:
    """A Phonogram codec with a given number of codebooks, through the bytes of a `.pgc` file."""

    def __init__(self, codec: CausalCodec, folder: Path, n_codebooks: int):
        self.codec = codec
        # Training the decoder further keeps the meaning of codes: files carry the codes hash, scores depend on the
        # weights.
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
        chunks = list(decode_pieces(file, survey.header, self.codec, self.codes))
        spec = self.codec.spec
        decoded = Waveform(np.concatenate(chunks, axis=1), spec.sample_rate_hz).mono()
        bandwidth_hz = min(spec.sample_rate_hz, sound.rate_hz) / 2
        return CodedAudio(decoded, survey.payload_bytes, survey.file_bytes, bandwidth_hz)


def codec_systems(folder: Path, codebook_counts: list[int] | None) -> list[CodecSystem]:
    """Returns a checkpoint's codec at each of `codebook_counts`; by default a quarter, half and all of its codebooks."""
    codec = load_codec(folder)
    total = codec.spec.n_codebooks
    counts = codebook_counts or sorted({max(1, total // 4), max(1, total // 2), total})
    return [CodecSystem(codec, folder, count) for count in sorted(set(counts))]
