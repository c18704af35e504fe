"""The bytes before the samples of a WAV or AIFF file, kept as they are, and what they say about the samples."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Protocol

from backend.compression.lossless.pcm_layout import PcmLayout
from backend.errors import BadAudio

MAX_HEADER_BYTES = 16 * 2**20
STREAMED = 0xFFFFFFFF
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
# The last 14 bytes of the sub-format of WAVE_FORMAT_EXTENSIBLE; the first two are the format itself.
_SUBFORMAT = bytes.fromhex("000000001000800000aa00389b71")


class Readable(Protocol):
    """A file or pipe as far as it is read from."""

    def read(self, n_bytes: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class SourceHeader:
    """The head of a sound file. `data_bytes` is None where the samples run to the end of the file."""

    content: bytes
    layout: PcmLayout
    data_bytes: int | None


class _Head:
    """Reads the head of a file and keeps every byte of it."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        self.content = bytearray()

    def take(self, n_bytes: int, part: str) -> bytes:
        if len(self.content) + n_bytes > MAX_HEADER_BYTES:
            raise BadAudio(
                f"The file has more than {MAX_HEADER_BYTES // 2**20} MB before its samples; remove its pictures or notes."
            )
        taken = read_exactly(self._file, n_bytes)
        self.content += taken
        if len(taken) != n_bytes:
            raise BadAudio(f"The file ends inside {part}; expected a complete WAV or AIFF file. Copy it again.")
        return taken


def read_exactly(file: Readable, n_bytes: int) -> bytes:
    """`n_bytes` from a file or pipe, fewer only at its end."""
    parts = []
    while n_bytes:
        part = file.read(n_bytes)
        if not part:
            break
        parts.append(part)
        n_bytes -= len(part)
    return b"".join(parts)


def read_header(file: Readable) -> SourceHeader:
    """Read a WAV or AIFF file up to its first sample. Raises `BadAudio` for anything else."""
    head = _Head(file)
    start = head.take(4, "its first bytes")
    if start == b"fLaC":
        raise BadAudio(
            "This is a FLAC file, whose own bytes cannot be rebuilt on every machine. Decode it first "
            "(flac -d --keep-foreign-metadata), then compress the WAV file."
        )
    if start in (b"RIFF", b"RF64", b"BW64"):
        return _read_wav(head)
    if start == b"FORM":
        return _read_aiff(head)
    raise BadAudio(f"The file begins with {start!r}; expected a WAV or AIFF file.")


def _read_wav(head: _Head) -> SourceHeader:
    kind = head.take(8, "its RIFF header")[4:]
    if kind != b"WAVE":
        raise BadAudio(f"The RIFF file holds {kind!r}; expected WAVE.")
    layout: PcmLayout | None = None
    long_bytes: int | None = None
    while True:
        name, size = struct.unpack("<4sI", head.take(8, "a chunk header"))
        if name == b"data":
            break
        chunk = head.take(size + size % 2, f"its chunk {name!r}")[:size]
        if name == b"fmt ":
            layout = _wav_layout(chunk)
        elif name == b"ds64" and len(chunk) >= 16:
            (long_bytes,) = struct.unpack_from("<Q", chunk, 8)
    if layout is None:
        raise BadAudio("The WAV file has no format chunk before its samples. Convert it with another program.")
    data_bytes: int | None = size
    if size == STREAMED and long_bytes is not None:
        data_bytes = long_bytes
    elif size in (0, STREAMED):
        data_bytes = None
    return SourceHeader(bytes(head.content), layout, data_bytes)


def _wav_layout(chunk: bytes) -> PcmLayout:
    if len(chunk) < 16:
        raise BadAudio(f"The WAV format chunk has {len(chunk)} bytes; expected 16 or more.")
    tag, channels, rate_hz, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == EXTENSIBLE:
        if len(chunk) < 40 or chunk[26:40] != _SUBFORMAT:
            raise BadAudio("The WAV file has an unknown extensible format; expected integer PCM or floats.")
        (tag,) = struct.unpack_from("<H", chunk, 24)
    if tag not in (PCM, FLOAT):
        raise BadAudio(f"The WAV file has format {tag}; expected integer PCM (1) or floats (3). Convert it first.")
    if not channels or frame_bytes % channels or not 0 < bits <= frame_bytes // channels * 8:
        raise BadAudio(
            f"The WAV format chunk has {channels} channels in {frame_bytes} bytes with {bits} bits a sample, which "
            "does not fit. Convert the file with another program."
        )
    width = frame_bytes // channels
    if tag == FLOAT:
        return PcmLayout(channels, rate_hz, width, "float")
    return PcmLayout(channels, rate_hz, width, "unsigned" if width == 1 else "signed")


def _read_aiff(head: _Head) -> SourceHeader:
    kind = head.take(8, "its FORM header")[4:]
    if kind not in (b"AIFF", b"AIFC"):
        raise BadAudio(f"The FORM file holds {kind!r}; expected AIFF or AIFC.")
    layout: PcmLayout | None = None
    while True:
        name, size = struct.unpack(">4sI", head.take(8, "a chunk header"))
        if name == b"SSND":
            break
        chunk = head.take(size + size % 2, f"its chunk {name!r}")[:size]
        if name == b"COMM":
            layout = _aiff_layout(chunk, is_compressed=kind == b"AIFC")
    offset, _ = struct.unpack(">II", head.take(8, "its sound chunk"))
    if layout is None:
        raise BadAudio("The AIFF file has no COMM chunk before its samples. Convert it with another program.")
    if not 0 <= offset <= size - 8:
        raise BadAudio(f"The AIFF sound chunk has {size} bytes and an offset of {offset}, which does not fit.")
    head.take(offset, "the offset of its sound chunk")
    return SourceHeader(bytes(head.content), layout, size - 8 - offset)


def _aiff_layout(chunk: bytes, is_compressed: bool) -> PcmLayout:
    if len(chunk) < (22 if is_compressed else 18):
        raise BadAudio(f"The AIFF COMM chunk has {len(chunk)} bytes; expected 18 or more (AIFC: 22).")
    channels, _, bits, exponent, mantissa = struct.unpack_from(">hIhHQ", chunk)
    # An 80-bit float; rates are whole numbers far below 2**32.
    shift = 16383 + 63 - (exponent & 0x7FFF)
    rate_hz = mantissa >> shift if 0 <= shift < 64 else 0
    coding = bytes(chunk[18:22]) if is_compressed else b"NONE"
    if coding in (b"fl32", b"FL32", b"fl64", b"FL64"):
        return PcmLayout(channels, rate_hz, 4 if coding.endswith(b"32") else 8, "float", is_big_endian=True)
    if coding not in (b"NONE", b"sowt", b"twos"):
        raise BadAudio(f"The AIFC file has coding {coding!r}; expected NONE, sowt, twos, fl32 or fl64.")
    if not 1 <= bits <= 32:
        raise BadAudio(f"The AIFF file has {bits} bits a sample; expected 1 to 32.")
    return PcmLayout(channels, rate_hz, (bits + 7) // 8, "signed", is_big_endian=coding != b"sowt")
