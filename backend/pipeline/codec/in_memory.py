"""Code files in memory: sound packed as codes, and codes unpacked to be heard or looked at."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from backend.audio.waveform import Waveform
from backend.codes import Codes
from backend.compression.codes.container import ContainerReader, ContainerWriter
from backend.compression.codes.header import ContainerHeader
from backend.compression.codes.inspect import ContainerSurvey
from backend.errors import BadCodes, BadContainer, CodebookMismatch, LimitExceeded
from backend.pipeline.codec.stream import check_written_by, fit_to_codec

if TYPE_CHECKING:
    from backend.codes import CodecSpec
    from backend.pipeline.speech.synthesizer import Synthesizer


@dataclass(frozen=True, slots=True, eq=False)
class CodeFile:
    """A code file, what it says of itself and the codes [K, T] in it. `is_own`: the loaded codec can decode it."""

    content: bytes
    survey: ContainerSurvey
    indices: np.ndarray
    is_own: bool


def encode_file(waveform: Waveform, speaker: Synthesizer, codes_hash: str, n_codebooks: int | None = None) -> CodeFile:
    """The code file of a sound, the same bytes as the command line writes for it.

    Raises `BadAudio` for a sound the codec cannot take and `CodebookMismatch` for a codebook count it does not have.
    """
    codec = speaker.codec_worker.codec
    n_codebooks = codec.check_codebooks(n_codebooks)
    sound = fit_to_codec(waveform, codec.spec)
    indices = speaker.encode(sound).first(n_codebooks).indices[0].numpy()
    header = ContainerHeader.of(codec.spec, codes_hash, n_codebooks, sound.n_samples, indices.shape[1])
    file = io.BytesIO()
    writer = ContainerWriter(file, header)
    writer.push(indices)
    writer.finish(sound.n_samples)
    return read_file(file.getvalue(), codec.spec, codes_hash, float("inf"))


def decode_file(content: bytes, speaker: Synthesizer, codes_hash: str, max_duration_s: float) -> Waveform:
    """The sound of a code file, checked as a whole before any of it is decoded.

    Raises `BadContainer` for damage and for a file of another codec, `LimitExceeded` for a sound that is too long.
    """
    spec = speaker.codec_worker.codec.spec
    found = read_file(content, spec, codes_hash, max_duration_s)
    check_written_by(found.survey.header, spec, codes_hash)
    if not found.survey.n_samples:
        return Waveform(np.zeros((spec.channels, 0), np.float32), spec.sample_rate_hz)
    sound = speaker.decode(Codes(torch.from_numpy(found.indices)[None], spec.name))
    return Waveform(sound.samples[:, : found.survey.n_samples], sound.rate_hz)


def decode_indices(sounds: Sequence[np.ndarray], speaker: Synthesizer, max_duration_s: float) -> list[Waveform]:
    """The sounds of bare codes, int64 [K, T] each, which may last `max_duration_s` together.

    All are checked first: an index outside its codebook would take the whole codec down. Raises `BadCodes`,
    `CodebookMismatch` and `LimitExceeded`.
    """
    spec = speaker.codec_worker.codec.spec
    if sum(indices.shape[1] for indices in sounds) > max_duration_s * spec.frame_rate_hz:
        raise LimitExceeded(
            f"The codes hold more than {max_duration_s:g} s of sound, the limit (MAX_AUDIO_S). Cut them."
        )
    for indices in sounds:
        if not 1 <= indices.shape[0] <= spec.n_codebooks:
            raise CodebookMismatch(
                f"Codes have {indices.shape[0]} codebooks; codec '{spec.name}' has {spec.n_codebooks}. Send its own codes."
            )
        sizes = np.array(spec.codebook_sizes[: indices.shape[0]])[:, None]
        if not indices.shape[1] or ((indices < 0) | (indices >= sizes)).any():
            raise BadCodes(
                f"Codes are missing or out of range; codec '{spec.name}' takes 0 up to {max(spec.codebook_sizes) - 1} "
                "in each of at least one frame. Send its own codes."
            )
    return [speaker.decode(Codes(torch.from_numpy(indices)[None], spec.name)) for indices in sounds]


def read_file(content: bytes, spec: CodecSpec, codes_hash: str, max_duration_s: float) -> CodeFile:
    """What a code file holds, whichever codec wrote it. The limit holds while reading, whatever the header says."""
    reader = ContainerReader(io.BytesIO(content))
    frames_per_s = reader.header.sample_rate_hz / reader.header.hop_samples
    blocks, n_frames = [np.zeros((reader.header.n_codebooks, 0), np.int64)], 0
    for block in reader:
        n_frames += block.shape[1]
        # One second more: the codec's lag and the last frame are not sound.
        if n_frames > (max_duration_s + 1) * frames_per_s:
            raise LimitExceeded(
                f"The code file holds more than {max_duration_s:g} s of sound, the limit (MAX_AUDIO_S). Cut it."
            )
        blocks.append(block)
    header = reader.header
    assert header.n_samples is not None and header.n_frames is not None, header
    survey = ContainerSurvey(header, header.n_samples, header.n_frames, reader.file_bytes, reader.payload_bytes)
    try:
        check_written_by(header, spec, codes_hash)
        is_own = True
    except BadContainer:
        is_own = False
    return CodeFile(content, survey, np.concatenate(blocks, axis=1), is_own)
