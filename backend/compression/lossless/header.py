"""The head and the end of a `.pgl` file. docs/lossless.md describes every byte."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from backend.compression.lossless.pcm_layout import CODINGS, PcmLayout
from backend.compression.lossless.source_file import MAX_HEADER_BYTES, Readable, read_exactly
from backend.errors import BadAudio, BadContainer

MAGIC = b"\x89PGL"
VERSION = 1
_FIXED = struct.Struct("<4sBBIBBBII")  # magic, version, level, rate, channels, sample bytes, coding, block frames, head
_END = struct.Struct("<IQ16sIII")  # no frames, frames, MD5, tail bytes, packed tail bytes, blocks
_FOOTER = struct.Struct("<I4s")  # bytes of the end record, magic backwards
_CRC = struct.Struct("<I")
MAX_BLOCK_FRAMES = 1 << 24
MAX_TAIL_BYTES = 64 * 2**20
MAX_BLOCKS = 1 << 24


_BIG_ENDIAN, _PLAIN_HEAD = 0x80, 0x40


def plain_wav_head(layout: PcmLayout, sizes: bytes) -> bytes:
    """The 44 bytes of a WAV file without extras, from its layout and its two size fields."""
    tag = 3 if layout.coding == "float" else 1
    fields = (tag, layout.channels, layout.rate_hz, layout.rate_hz * layout.frame_bytes % 2**32, layout.frame_bytes)
    bits = 8 * layout.sample_bytes
    return b"RIFF" + sizes[:4] + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, *fields, bits) + b"data" + sizes[4:8]


@dataclass(frozen=True, slots=True)
class LosslessHeader:
    """What stands before the blocks. `head`: the bytes of the source file before its first sample."""

    layout: PcmLayout
    head: bytes
    block_frames: int
    level: int

    def to_bytes(self) -> bytes:
        layout, packed = self.layout, zlib.compress(self.head, 9)
        coding = CODINGS.index(layout.coding) | (_BIG_ENDIAN if layout.is_big_endian else 0)
        sizes = self.head[4:8] + self.head[40:44]
        if self.head == plain_wav_head(layout, sizes):
            coding, packed = coding | _PLAIN_HEAD, sizes
        fixed = _FIXED.pack(
            MAGIC, VERSION, self.level, layout.rate_hz, layout.channels, layout.sample_bytes, coding,
            self.block_frames, len(packed),
        )  # fmt: skip
        return with_crc(fixed + packed)

    @classmethod
    def read(cls, file: Readable) -> LosslessHeader:
        fixed = take(file, _FIXED.size, "its header")
        magic, version, level, rate_hz, channels, width, coding, block_frames, n_packed = _FIXED.unpack(fixed)
        if magic != MAGIC:
            raise BadContainer("This is not a .pgl file: its first bytes are others. Name a file that compress wrote.")
        if version != VERSION:
            raise BadContainer(
                f"The .pgl file has version {version}; this program reads {VERSION}. Use the program that wrote it."
            )
        if n_packed > MAX_HEADER_BYTES or not 1 <= block_frames <= MAX_BLOCK_FRAMES:
            raise damaged("its header has impossible sizes")
        packed = take(file, n_packed, "its header")
        require_crc(file, fixed + packed, "its header")
        kind = coding & ~(_BIG_ENDIAN | _PLAIN_HEAD)
        if kind >= len(CODINGS):
            raise damaged(f"its header has sample coding {coding}")
        try:
            layout = PcmLayout(channels, rate_hz, width, CODINGS[kind], bool(coding & _BIG_ENDIAN))
        except BadAudio as error:
            raise damaged(f"its header does not fit ({error})") from error
        is_plain = coding & _PLAIN_HEAD
        head = plain_wav_head(layout, packed) if is_plain else unpacked(packed, MAX_HEADER_BYTES)
        return cls(layout, head, block_frames, level)


@dataclass(frozen=True, slots=True)
class LosslessEnd:
    """What stands after the blocks: counts, MD5 of the PCM bytes, the source file's tail, where each block begins."""

    n_frames: int
    md5: bytes
    tail: bytes
    offsets: tuple[int, ...]

    def to_bytes(self) -> bytes:
        packed = zlib.compress(self.tail, 9) if self.tail else b""
        index = struct.pack(f"<{len(self.offsets)}Q", *self.offsets)
        fixed = _END.pack(0, self.n_frames, self.md5, len(self.tail), len(packed), len(self.offsets))
        record = with_crc(fixed + packed + index)
        return record + _FOOTER.pack(len(record), MAGIC[::-1])

    @classmethod
    def read(cls, file: Readable, start: bytes) -> LosslessEnd:
        """The end record whose first four bytes, `start`, were read already."""
        fixed = start + take(file, _END.size - len(start), "its end record")
        _, n_frames, md5, n_tail, n_packed, n_blocks = _END.unpack(fixed)
        if n_tail > MAX_TAIL_BYTES or n_packed > MAX_TAIL_BYTES or n_blocks > MAX_BLOCKS:
            raise damaged("its end record has impossible sizes")
        packed = take(file, n_packed, "its end record")
        index = take(file, 8 * n_blocks, "its seek table")
        require_crc(file, fixed + packed + index, "its end record")
        tail = unpacked(packed, MAX_TAIL_BYTES) if n_packed else b""
        if len(tail) != n_tail:
            raise damaged(f"its tail has {len(tail)} bytes and says {n_tail}")
        n_bytes, magic = _FOOTER.unpack(take(file, _FOOTER.size, "its footer"))
        if magic != MAGIC[::-1] or n_bytes != len(fixed + packed + index) + _CRC.size:
            raise damaged("its footer does not fit")
        return cls(n_frames, md5, tail, struct.unpack(f"<{n_blocks}Q", index))

    @classmethod
    def find(cls, file: BinaryIO) -> LosslessEnd:
        """The end record of a seekable file, found from its last bytes."""
        n_file = file.seek(0, 2)
        if n_file < _FOOTER.size + _END.size + _CRC.size:
            raise damaged("it is too short")
        file.seek(n_file - _FOOTER.size)
        n_bytes, magic = _FOOTER.unpack(take(file, _FOOTER.size, "its footer"))
        if magic != MAGIC[::-1] or n_bytes + _FOOTER.size > n_file:
            raise damaged("it has no footer")
        file.seek(n_file - _FOOTER.size - n_bytes)
        return cls.read(file, b"")


def with_crc(content: bytes) -> bytes:
    return content + _CRC.pack(zlib.crc32(content))


def require_crc(file: Readable, content: bytes, part: str) -> None:
    (expected,) = _CRC.unpack(take(file, _CRC.size, part))
    if expected != zlib.crc32(content):
        raise damaged(f"{part} has checksum {zlib.crc32(content):08x} and says {expected:08x}")


def take(file: Readable, n_bytes: int, part: str) -> bytes:
    content = read_exactly(file, n_bytes)
    if len(content) != n_bytes:
        raise BadContainer(f"The .pgl file ends inside {part}. Copy it again, or compress the sound again.")
    return content


def unpacked(packed: bytes, max_bytes: int) -> bytes:
    """Inflated bytes, never more than `max_bytes`."""
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(packed, max_bytes + 1)
    except zlib.error as error:
        raise damaged(f"bytes of the source file cannot be unpacked ({error})") from error
    if len(content) > max_bytes or not unpacker.eof or unpacker.unused_data:
        raise damaged("bytes of the source file cannot be unpacked")
    return content


def damaged(finding: str) -> BadContainer:
    return BadContainer(f"The .pgl file is damaged: {finding}. Copy it again, or compress the sound again.")
