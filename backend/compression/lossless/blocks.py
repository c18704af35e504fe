"""One block of samples as bytes: by the cascade, as FLAC, packed by LZMA, or as it is; whichever is smallest."""

from __future__ import annotations

import io
import lzma

import numpy as np

from backend.compression.lossless import cascade_payload
from backend.compression.lossless.float_samples import float_bytes, scaled_floats
from backend.compression.lossless.pcm_layout import PcmLayout, bytes_of, samples_of
from backend.errors import BadContainer

RAW, LZMA, FLAC, CASCADE, SCALED = range(5)
TRACE_FRAMES = 4096
MODE_NAMES = {RAW: "raw", LZMA: "lzma", FLAC: "flac", CASCADE: "cascade", SCALED: "cascade of floats"}
# FLAC carries no rate of ours; any that every FLAC may have.
_FLAC_RATE_HZ = 44100
_FLAC_KINDS = {1: "PCM_S8", 2: "PCM_16", 3: "PCM_24"}
_FLAC_MAX_CHANNELS = 8
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 20}]


def encode_block(content: bytes, layout: PcmLayout, level: int) -> tuple[int, bytes]:
    """The smallest form of whole frames, and which one it is."""
    forms = [(len(content), RAW, content)]
    if layout.is_integer:
        samples = samples_of(content, layout)
        coded = cascade_payload.encode(samples, level, layout.rate_hz)
        if coded is not None:
            forms.append((len(coded), CASCADE, coded))
        if _is_flac_able(layout):
            payload = _flac(samples, layout)
            forms.append((len(payload), FLAC, payload))
    else:
        scaled = scaled_floats(content, layout)
        if scaled is not None:
            samples, exponent = scaled
            coded = cascade_payload.encode(samples, level, layout.rate_hz)
            if coded is not None:
                forms.append((len(coded) + 1, SCALED, bytes([exponent]) + coded))
    if min(forms)[0] > 0.9 * len(content):
        payload = lzma.compress(_planes(content, layout), format=lzma.FORMAT_RAW, filters=_FILTERS)
        forms.append((len(payload), LZMA, payload))
    _, mode, payload = min(forms, key=lambda form: form[:2])
    return mode, payload


def decode_block(mode: int, payload: bytes, n_frames: int, layout: PcmLayout) -> bytes:
    """The bytes that `encode_block` was given. Raises `BadContainer` for a payload that cannot be one."""
    n_bytes = n_frames * layout.frame_bytes
    if mode == RAW:
        content = payload
    elif mode == LZMA:
        content = _interleaved(_unpacked(payload, n_bytes), layout)
    elif mode == FLAC and layout.is_integer and _is_flac_able(layout):
        content = bytes_of(_unflac(payload, n_frames, layout), layout)
    elif mode == CASCADE and layout.is_integer:
        content = bytes_of(cascade_payload.decode(payload, layout.channels, n_frames), layout)
    elif mode == SCALED and not layout.is_integer and payload:
        samples = cascade_payload.decode(payload[1:], layout.channels, n_frames)
        content = float_bytes(samples, payload[0], layout)
    else:
        raise BadContainer(f"A block has mode {mode}, which does not fit this file. Copy the file again.")
    if len(content) != n_bytes:
        raise BadContainer(f"A block holds {len(content)} bytes of samples; expected {n_bytes}. Copy the file again.")
    return content


def flac_bytes(content: bytes, layout: PcmLayout) -> int | None:
    """Size of whole frames as FLAC at its highest level, or None where FLAC has no such format."""
    return len(_flac(samples_of(content, layout), layout)) if layout.is_integer and _is_flac_able(layout) else None


def block_costs(mode: int, payload: bytes, n_frames: int, layout: PcmLayout) -> list[float]:
    """Bits a sample of each TRACE_FRAMES frames; the same for all of them where the mode does not tell."""
    sizes = np.full(-(-n_frames // TRACE_FRAMES), TRACE_FRAMES)
    sizes[-1] = n_frames - TRACE_FRAMES * (sizes.size - 1)
    trace = np.zeros(sizes.size, np.int64)
    if mode in (CASCADE, SCALED):
        cascade_payload.decode(payload[mode == SCALED :], layout.channels, n_frames, trace)
    else:
        trace = len(payload) * sizes // n_frames
    return (trace * 8 / (sizes * layout.channels)).round(4).tolist()


def _is_flac_able(layout: PcmLayout) -> bool:
    return layout.sample_bytes in _FLAC_KINDS and layout.channels <= _FLAC_MAX_CHANNELS


def _flac(samples: np.ndarray, layout: PcmLayout) -> bytes:
    import soundfile

    file = io.BytesIO()
    soundfile.write(
        file, samples.T << (32 - 8 * layout.sample_bytes), _FLAC_RATE_HZ, format="FLAC",
        subtype=_FLAC_KINDS[layout.sample_bytes], compression_level=1.0,
    )  # fmt: skip
    return _without_notes(file.getvalue())


def _without_notes(content: bytes) -> bytes:
    """A FLAC file with its STREAMINFO as the only metadata."""
    at, is_last = 4, False
    while not is_last:
        is_last = bool(content[at] & 0x80)
        at += 4 + int.from_bytes(content[at + 1 : at + 4], "big")
    return content[:4] + bytes([0x80]) + content[5:42] + content[at:]


def _unflac(payload: bytes, n_frames: int, layout: PcmLayout) -> np.ndarray:
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(payload)) as file:
            if (file.format, file.channels) != ("FLAC", layout.channels):
                raise BadContainer("A block says FLAC and is something else. Copy the file again.")
            values = file.read(n_frames + 1, dtype="int32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise BadContainer("A FLAC block cannot be decoded. Copy the file again.") from error
    return values.T >> (32 - 8 * layout.sample_bytes)


def _planes(content: bytes, layout: PcmLayout) -> bytes:
    """First all first bytes of the samples, then all second ones: what changes slowly comes together."""
    return np.frombuffer(content, np.uint8).reshape(-1, layout.sample_bytes).T.tobytes()


def _interleaved(content: bytes, layout: PcmLayout) -> bytes:
    return np.frombuffer(content, np.uint8).reshape(layout.sample_bytes, -1).T.tobytes()


def _unpacked(payload: bytes, n_bytes: int) -> bytes:
    try:
        unpacker = lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=_FILTERS)
        content = unpacker.decompress(payload, max_length=n_bytes + 1)
    except lzma.LZMAError as error:
        raise BadContainer("A packed block cannot be unpacked. Copy the file again.") from error
    if len(content) != n_bytes:
        raise BadContainer(f"A packed block holds {len(content)} bytes; expected {n_bytes}. Copy the file again.")
    return content
