"""Encode, decode and read code files in memory."""

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
from backend.pipeline.codec.stream import check_weights, convert_for_codec

if TYPE_CHECKING:
    from backend.codes import CodecSpec
    from backend.pipeline.speech.synthesizer import Synthesizer


@dataclass(frozen=True, slots=True, eq=False)
class CodeFile:
    """A code file with its header and codes [K, T]. `is_own`: the loaded codec can decode it."""

    content: bytes
    survey: ContainerSurvey
    indices: np.ndarray
    is_own: bool


def encode_file(
    waveform: Waveform, synthesizer: Synthesizer, codes_hash: str, n_codebooks: int | None = None
) -> CodeFile:  # fmt: skip
    """Encode audio to a code file, with the same bytes as the command line writes.

    Raises `BadAudio` for audio the codec does not accept and `CodebookMismatch` for an unsupported codebook count.
    """
    codec = synthesizer.codec_worker.codec
    n_codebooks = codec.check_codebooks(n_codebooks)
    audio = convert_for_codec(waveform, codec.spec)
    indices = synthesizer.encode(audio).first(n_codebooks).indices[0].numpy()
    header = ContainerHeader.of(codec.spec, codes_hash, n_codebooks, audio.n_samples, indices.shape[1])
    file = io.BytesIO()
    writer = ContainerWriter(file, header)
    writer.push(indices)
    writer.finish(audio.n_samples)
    return read_file(file.getvalue(), codec.spec, codes_hash, float("inf"))


def decode_file(content: bytes, synthesizer: Synthesizer, codes_hash: str, max_duration_s: float) -> Waveform:
    """Decode a code file after checking all of it.

    Raises `BadContainer` for a damaged file or one of another codec, and `LimitExceeded` for audio that is too long.
    """
    spec = synthesizer.codec_worker.codec.spec
    code_file = read_file(content, spec, codes_hash, max_duration_s)
    check_weights(code_file.survey.header, spec, codes_hash)
    if not code_file.survey.n_samples:
        return Waveform(np.zeros((spec.channels, 0), np.float32), spec.sample_rate_hz)
    audio = synthesizer.decode(Codes(torch.from_numpy(code_file.indices)[None], spec.name))
    return Waveform(audio.samples[:, : code_file.survey.n_samples], audio.rate_hz)


def decode_indices(arrays: Sequence[np.ndarray], synthesizer: Synthesizer, max_duration_s: float) -> list[Waveform]:
    """Decode int64 code arrays [K, T], at most `max_duration_s` in total.

    All arrays are checked first: an out-of-range index would crash the whole codec. Raises `BadCodes`,
    `CodebookMismatch` and `LimitExceeded`.
    """
    spec = synthesizer.codec_worker.codec.spec
    if sum(indices.shape[1] for indices in arrays) > max_duration_s * spec.frame_rate_hz:
        raise LimitExceeded(
            f"The codes hold more than {max_duration_s:g} s of audio, the limit (MAX_AUDIO_S). Cut them."
        )
    for indices in arrays:
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
    return [synthesizer.decode(Codes(torch.from_numpy(indices)[None], spec.name)) for indices in arrays]


def read_file(content: bytes, spec: CodecSpec, codes_hash: str, max_duration_s: float) -> CodeFile:
    """Read a code file of any codec. The limit is enforced while reading, whatever the header says."""
    reader = ContainerReader(io.BytesIO(content))
    frames_per_s = reader.header.sample_rate_hz / reader.header.hop_samples
    blocks, n_frames = [np.zeros((reader.header.n_codebooks, 0), np.int64)], 0
    for block in reader:
        n_frames += block.shape[1]
        # One second of margin for the codec's latency and the last partial frame.
        if n_frames > (max_duration_s + 1) * frames_per_s:
            raise LimitExceeded(
                f"The code file holds more than {max_duration_s:g} s of audio, the limit (MAX_AUDIO_S). Cut it."
            )
        blocks.append(block)
    header = reader.header
    assert header.n_samples is not None and header.n_frames is not None, header
    survey = ContainerSurvey(header, header.n_samples, header.n_frames, reader.file_bytes, reader.payload_bytes)
    try:
        check_weights(header, spec, codes_hash)
        is_own = True
    except BadContainer:
        is_own = False
    return CodeFile(content, survey, np.concatenate(blocks, axis=1), is_own)
