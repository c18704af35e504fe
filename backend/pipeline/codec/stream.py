"""Sound to codes and back through the streaming state: the codec never sees more than a few seconds at once."""

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
    """Write the code file of a sound to `file` and return its header.

    The sound is mixed and resampled to what the codec takes, and followed by as much silence as the
    codec lags, so that decoding can return all of it. Raises `BadAudio` for a sound without samples or
    with channels the codec cannot take, and `BadCodes` for a codebook count it does not have.
    """
    spec = codec.spec
    n_codebooks = codec.check_codebooks(n_codebooks)
    sound = fit_to_codec(waveform, spec)
    n_samples = sound.n_samples
    n_frames = frames_for(n_samples, spec)
    header = ContainerHeader.of(spec, weights_hash, n_codebooks, n_samples, n_frames)
    writer = ContainerWriter(file, header)
    device = next(codec.parameters()).device
    piece_samples = max(1, round(PIECE_S * spec.sample_rate_hz / spec.hop_samples)) * spec.hop_samples
    with torch.inference_mode():
        state = codec.init_state(1)
        for start in range(0, n_samples, piece_samples):
            piece = torch.from_numpy(sound.samples[:, start : start + piece_samples])[None].to(device)
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
    """The sound of a code file as samples [C, n], piece by piece: exactly `header.n_samples` together.

    `header` is the file's own with its counts known, as a survey gives it. Damage that only shows at the
    end of the file is raised after the last piece, so nothing may be kept if this raises. Raises
    `BadContainer` for damage and for a file written with other weights.
    """
    check_written_by(header, codec.spec, weights_hash)
    spec = codec.spec
    assert header.n_samples is not None, header
    n_samples, n_done, n_lag = header.n_samples, 0, spec.latency_samples
    device = next(codec.parameters()).device
    # A block may be far longer than ours; what is decoded at once must not be.
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


def fit_to_codec(waveform: Waveform, spec: CodecSpec) -> Waveform:
    """The sound with the channels and the rate of a codec. Raises `BadAudio` where that cannot be."""
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
    fitted = resample(waveform, spec.sample_rate_hz).require_finite()
    if not fitted.n_samples:
        raise BadAudio(f"The audio is shorter than one sample at {spec.sample_rate_hz} Hz. Give a longer recording.")
    return fitted


def frames_for(n_samples: int, spec: CodecSpec) -> int:
    """Frames that hold `n_samples` and the codec's lag."""
    return -(-(n_samples + spec.latency_samples) // spec.hop_samples)


def check_written_by(header: ContainerHeader, spec: CodecSpec, weights_hash: str) -> None:
    """Raise `BadContainer` unless these weights wrote the file and it says of them what is so."""
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
            f"The file contradicts the codec that wrote it: it says {header} and must say {expected}. "
            "Copy it again, or encode the sound again."
        )


def _indices(codes: Codes) -> np.ndarray:
    return codes.indices[0].cpu().numpy()
