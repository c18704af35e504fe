"""The `.pgc` code file: a header, blocks of packed codes and an end marker, all with checksums. Specified in
`docs/pgc.md`.

Every CRC field holds the CRC-32 of all bytes before it except other CRC fields, so a swapped, dropped or foreign block
is detected at that block.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO
from zlib import crc32

import numpy as np

from backend.compression.codes.bit_packing import pack_bits, packed_bytes, unpack_bits
from backend.compression.codes.header import ContainerHeader
from backend.errors import BadCodes, BadContainer, CodebookMismatch

BLOCK_FRAMES = 512
MAX_BLOCK_BYTES = 1 << 20
BLOCK = struct.Struct("<HI")  # frames, bytes
END = struct.Struct("<HQQ")  # zero frames, total samples, total frames
CRC = struct.Struct("<I")


class ContainerWriter:
    """Writes codes to `file` as a stream: call `push` for any number of frames, then `finish` once."""

    def __init__(self, file: BinaryIO, header: ContainerHeader, block_frames: int = BLOCK_FRAMES):
        self.header = header
        self.n_frames = 0
        self._file = file
        self._crc = 0
        max_frames = MAX_BLOCK_BYTES * 8 // sum(header.code_bits)
        self._block_frames = min(block_frames, max_frames, 65535)
        self._pending = np.zeros((header.n_codebooks, 0), dtype=np.int64)
        self._write(header.to_bytes())

    def push(self, indices: np.ndarray) -> None:
        """Appends codes [K, t]. Raises `CodebookMismatch` or `BadCodes` for codes that do not match the header."""
        header = self.header
        if indices.ndim != 2 or indices.shape[0] != header.n_codebooks:
            raise CodebookMismatch(f"Codes have shape {indices.shape}; this file stores [{header.n_codebooks}, T].")
        if _is_out_of_range(indices, header.codebook_sizes):
            raise BadCodes(
                f"Codes range from {indices.min()} to {indices.max()}; codebook sizes are {header.codebook_sizes}. "
                "Encode with the codec named in the file."
            )
        self._pending = np.concatenate([self._pending, indices], axis=1)
        while self._pending.shape[1] >= self._block_frames:
            self._write_block(self._pending[:, : self._block_frames])
            self._pending = self._pending[:, self._block_frames :]

    def finish(self, n_samples: int) -> None:
        """Writes pending codes and the end marker. Raises `BadContainer` if the header has other counts."""
        if self._pending.shape[1]:
            self._write_block(self._pending)
        announced = (self.header.n_samples, self.header.n_frames)
        if announced not in ((None, None), (n_samples, self.n_frames)):
            raise BadContainer(
                f"Got {n_samples} samples in {self.n_frames} frames; the header announced {announced[0]} in "
                f"{announced[1]}. Set the true counts in the header, or none."
            )
        self._write(END.pack(0, n_samples, self.n_frames))

    def _write_block(self, indices: np.ndarray) -> None:
        payload = pack_bits(indices.T, self.header.code_bits)
        self._write(BLOCK.pack(indices.shape[1], len(payload)) + payload)
        self.n_frames += indices.shape[1]

    def _write(self, content: bytes) -> None:
        self._crc = crc32(content, self._crc)
        self._file.write(content + CRC.pack(self._crc))


class ContainerReader:
    """Reads a code file sequentially. Iterating yields codes [K, t], block by block.

    A block is yielded only after its CRC check. After the last block the reader checks the counts, the end marker and
    that nothing follows; `header` then has its counts in every case. Raises `BadContainer` at the first error.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self._crc = 0
        self.n_frames = 0
        self.payload_bytes = 0
        self.file_bytes = 0
        self.header = ContainerHeader.read(
            lambda n_bytes: self._read(n_bytes, "the header"), lambda: self._check_crc("the header")
        )

    def __iter__(self) -> Iterator[np.ndarray]:
        widths, sizes = self.header.code_bits, self.header.codebook_sizes
        while True:
            start = self._read(2, "a block")
            (n_frames,) = struct.unpack("<H", start)
            if not n_frames:
                break
            _, n_bytes = BLOCK.unpack(start + self._read(BLOCK.size - 2, "a block"))
            # The frame count determines the length; check it before reading or allocating anything.
            if n_bytes != packed_bytes(widths, n_frames) or n_bytes > MAX_BLOCK_BYTES:
                raise _damaged(f"a block of {n_frames} frames declares {n_bytes} bytes")
            payload = self._read(n_bytes, "a block")
            self._check_crc("a block")
            self.n_frames += n_frames
            self.payload_bytes += n_bytes
            if self.header.n_frames is not None and self.n_frames > self.header.n_frames:
                raise _damaged(f"it has more than the {self.header.n_frames} frames in its header")
            try:
                indices = unpack_bits(payload, widths, n_frames).T
            except BadCodes as error:
                raise _damaged(str(error)) from error
            if _is_out_of_range(indices, sizes):
                raise _damaged(f"codes reach {indices.max(axis=1).tolist()} in codebooks of {sizes}")
            yield indices
        _, n_samples, n_frames = END.unpack(start + self._read(END.size - 2, "the end marker"))
        self._check_crc("the end marker")
        self._check_end(n_samples, n_frames)

    def _check_end(self, n_samples: int, n_frames: int) -> None:
        header = self.header
        if n_frames != self.n_frames:
            raise _damaged(f"it has {self.n_frames} frames and its end marker declares {n_frames}")
        if header.n_frames is not None and (header.n_samples, header.n_frames) != (n_samples, n_frames):
            raise _damaged(
                f"its header declares {header.n_samples} samples in {header.n_frames} frames and its end marker "
                f"{n_samples} in {n_frames}"
            )
        if self._file.read(1):
            raise _damaged("data follows its end marker")
        self.header = replace(header, n_samples=n_samples, n_frames=n_frames)

    def _read(self, n_bytes: int, part: str) -> bytes:
        content = self._file.read(n_bytes)
        if len(content) != n_bytes:
            raise _truncated(part)
        self._crc = crc32(content, self._crc)
        self.file_bytes += n_bytes
        return content

    def _check_crc(self, part: str) -> None:
        content = self._file.read(CRC.size)
        if len(content) != CRC.size:
            raise _truncated(part)
        self.file_bytes += CRC.size
        (expected,) = CRC.unpack(content)
        if expected != self._crc:
            raise _damaged(f"{part} has checksum {self._crc:08x}; expected {expected:08x}")


def _is_out_of_range(indices: np.ndarray, sizes: tuple[int, ...]) -> bool:
    return indices.size > 0 and bool((indices.min() < 0) or (indices.max(axis=1) >= sizes).any())


def _damaged(problem: str) -> BadContainer:
    return BadContainer(f"The code file is damaged: {problem}. Copy it again, or encode the audio again.")


def _truncated(part: str) -> BadContainer:
    return BadContainer(
        f"The code file ends inside {part}; expected an end marker. Copy it again, or encode the audio again."
    )
