"""Streaming encode and decode of whole recordings, a few seconds per codec call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
import torch

from backend.audio.resample import resample
from backend.audio.waveform import Waveform
from backend.codec.base import CausalCodec
from backend.codes import CodecSpec, Codes
from backend.compression.codes.container import ContainerReader, ContainerWriter
from backend.compression.codes.header import HASH_DIGITS, ContainerHeader
from backend.errors import BadAudio, BadContainer

Progress = Callable[[int, int], None]  # samples done, samples in all
PIECE_S = 4.0


def encode_waveform(
    waveform: Waveform, codec: CausalCodec, weights_hash: str, file: BinaryIO,
    n_codebooks: int | None = None, progress: Progress | None = None,
) -> ContainerHeader:  # fmt: skip
    """Encode audio to a code file and return its header.

    The audio is converted to the codec's channels and rate and padded with silence for the codec's latency, so that
    decoding returns every sample. Raises `BadAudio` for empty audio or unsupported channels, and `BadCodes` for an
    unsupported codebook count.
    """
    spec = codec.spec
    n_codebooks = codec.check_codebooks(n_codebooks)
    audio = convert_for_codec(waveform, spec)
    n_samples = audio.n_samples
    n_frames = frames_for(n_samples, spec)
    header = ContainerHeader.of(spec, weights_hash, n_codebooks, n_samples, n_frames)
    writer = ContainerWriter(file, header)
    device = next(codec.parameters()).device
    piece_samples = max(1, round(PIECE_S * spec.sample_rate_hz / spec.hop_samples)) * spec.hop_samples
    with torch.inference_mode():
        state = codec.init_state(1)
        for start in range(0, n_samples, piece_samples):
            piece = torch.from_numpy(audio.samples[:, start : start + piece_samples])[None].to(device)
            writer.push(_indices(codec.encode(piece, state, n_codebooks)))
            if progress is not None:
                progress(min(start + piece_samples, n_samples), n_samples)
        silence = torch.zeros(1, spec.channels, spec.latency_samples, device=device)
        writer.push(_indices(codec.encode(silence, state, n_codebooks)))
        writer.push(_indices(codec.finish(state, n_codebooks)))
    writer.finish(n_samples)
    return header


def decode_pieces(
    file: BinaryIO, header: ContainerHeader, codec: CausalCodec, weights_hash: str, progress: Progress | None = None
) -> Iterator[np.ndarray]:
    """Yield the audio of a code file in chunks [C, n], exactly `header.n_samples` samples in total.

    `header` is the file's header with known counts, as a survey returns it. Damage found only at the end of the file
    is raised after the last chunk, so discard the output if this raises. Raises `BadContainer` for a damaged file and
    for one written with other weights.
    """
    check_weights(header, codec.spec, weights_hash)
    spec = codec.spec
    assert header.n_samples is not None, header
    n_samples, n_done, n_lag = header.n_samples, 0, spec.latency_samples
    device = next(codec.parameters()).device
    # Blocks of any length are decoded in pieces of bounded length.
    piece_frames = max(1, round(PIECE_S * spec.frame_rate_hz))
    with torch.inference_mode():
        state = codec.init_state(1)
    for block in ContainerReader(file):
        for start in range(0, block.shape[1], piece_frames):
            indices = torch.from_numpy(block[:, start : start + piece_frames].copy())[None].to(device)
            with torch.inference_mode():
                samples = codec.decode(Codes(indices, spec.name), state)[0].float().cpu().numpy()
            dropped = min(n_lag, samples.shape[1])
            n_lag -= dropped
            samples = samples[:, dropped : dropped + n_samples - n_done]
            n_done += samples.shape[1]
            if progress is not None:
                progress(n_done, n_samples)
            yield samples


def convert_for_codec(waveform: Waveform, spec: CodecSpec) -> Waveform:
    """Convert audio to a codec's channels and sample rate. Raises `BadAudio` for unsupported or empty audio."""
    if not waveform.n_samples:
        raise BadAudio("The audio holds no samples; expected at least one. Give a longer recording.")
    if spec.channels == 1:
        waveform = waveform.mono()
    elif waveform.n_channels == 1:
        waveform = Waveform(np.repeat(waveform.samples, spec.channels, axis=0), waveform.rate_hz)
    elif waveform.n_channels != spec.channels:
        raise BadAudio(
            f"The audio has {waveform.n_channels} channels; codec '{spec.name}' takes {spec.channels}. Mix it down first."
        )
    converted = resample(waveform, spec.sample_rate_hz).require_finite()
    if not converted.n_samples:
        raise BadAudio(f"The audio is shorter than one sample at {spec.sample_rate_hz} Hz. Give a longer recording.")
    return converted


def frames_for(n_samples: int, spec: CodecSpec) -> int:
    """Return the number of frames for `n_samples` plus the codec's latency."""
    return -(-(n_samples + spec.latency_samples) // spec.hop_samples)


def check_weights(header: ContainerHeader, spec: CodecSpec, weights_hash: str) -> None:
    """Raise `BadContainer` unless the header matches this codec and these weights."""
    if header.weights_hash != weights_hash[:HASH_DIGITS]:
        raise BadContainer(
            f"The file was written by '{header.codec}' with weights {header.weights_hash[:8]}; those loaded are "
            f"'{spec.name}' with {weights_hash[:8]}. Load the first, or decode where they are."
        )
    expected = ContainerHeader.of(
        spec, weights_hash, header.n_codebooks, header.n_samples,
        None if header.n_samples is None else frames_for(header.n_samples, spec),
    )  # fmt: skip
    if header != expected:
        raise BadContainer(
            f"The header does not match the codec that wrote the file: got {header}, expected {expected}. "
            "Copy the file again, or encode the audio again."
        )


def _indices(codes: Codes) -> np.ndarray:
    return codes.indices[0].cpu().numpy()
