"""Writing and reading the blocks of a `.pgl` file, one after another or any of them."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from backend.compression.lossless.blocks import MODE_NAMES
from backend.compression.lossless.header import LosslessEnd, LosslessHeader, damaged, require_crc, take, with_crc

_BLOCK = struct.Struct("<IBI")  # frames, mode, bytes
# A block is never stored longer than its samples; this much is room for the smallest ones.
_SLACK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Block:
    """One block as stored: its payload of `mode` decodes to `n_frames` frames without any other block."""

    n_frames: int
    mode: int
    payload: bytes


class LosslessWriter:
    """Writes a header, blocks in order, and `finish` with what came after the samples."""

    def __init__(self, file: BinaryIO, header: LosslessHeader) -> None:
        self._file, self.header = file, header
        self._offsets: list[int] = []
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.n_frames = self.n_bytes = 0
        self._write(header.to_bytes())

    def push(self, block: Block, content: bytes) -> None:
        """Append a block; `content` is the PCM it stands for."""
        self._offsets.append(self.n_bytes)
        self._md5.update(content)
        self.n_frames += block.n_frames
        self._write(with_crc(_BLOCK.pack(block.n_frames, block.mode, len(block.payload)) + block.payload))

    def finish(self, tail: bytes) -> None:
        end = LosslessEnd(self.n_frames, self._md5.digest(), tail, tuple(self._offsets))
        self._write(end.to_bytes())

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self.n_bytes += len(content)


class _Counted:
    """A file that counts what is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.n_bytes = file, 0

    def read(self, n_bytes: int) -> bytes:
        content = self._file.read(n_bytes)
        self.n_bytes += len(content)
        return content


class LosslessReader:
    """Reads a `.pgl` file from its first byte. Each block's CRC is checked before it is handed on."""

    def __init__(self, file: BinaryIO) -> None:
        self._whole, self._file = file, _Counted(file)
        self.header = LosslessHeader.read(self._file)
        self.end: LosslessEnd | None = None

    @property
    def n_bytes(self) -> int:
        """Bytes read so far."""
        return self._file.n_bytes

    def __iter__(self) -> Iterator[Block]:
        """Every block; afterwards `end` holds the end record, and nothing follows it."""
        n_frames = n_blocks = 0
        while True:
            start = take(self._file, 4, "a block")
            if start == b"\0\0\0\0":
                break
            block = self._block(start)
            n_frames += block.n_frames
            n_blocks += 1
            yield block
        end = LosslessEnd.read(self._file, start)
        if (end.n_frames, len(end.offsets)) != (n_frames, n_blocks):
            raise damaged(
                f"it holds {n_frames} frames in {n_blocks} blocks and says {end.n_frames} in {len(end.offsets)}"
            )
        if self._file.read(1):
            raise damaged("something follows its end")
        self.end = end

    def block_at(self, end: LosslessEnd, index: int) -> Block:
        """One block of a seekable file."""
        self._whole.seek(end.offsets[index])
        return self._block(take(self._file, 4, "a block"))

    def _block(self, start: bytes) -> Block:
        head = start + take(self._file, _BLOCK.size - 4, "a block")
        n_frames, mode, n_bytes = _BLOCK.unpack(head)
        if not 0 < n_frames <= self.header.block_frames or mode not in MODE_NAMES:
            raise damaged(f"a block has {n_frames} frames of mode {mode}")
        if n_bytes > n_frames * self.header.layout.frame_bytes + _SLACK_BYTES:
            raise damaged(f"a block of {n_frames} frames says {n_bytes} bytes")
        payload = take(self._file, n_bytes, "a block")
        require_crc(self._file, head + payload, "a block")
        return Block(n_frames, mode, payload)
