"""The `.pgc` code file: a checked header, blocks of packed codes, an end marker. `docs/pgc.md` is its description.

Every CRC field holds the CRC-32 of all bytes before it except other CRC fields, so blocks that were
swapped, dropped or taken from another file are found at the block where it happened.
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
    """Writes codes to `file` as they come. `push` any number of frames, then `finish` once."""

    def __init__(self, file: BinaryIO, header: ContainerHeader, block_frames: int = BLOCK_FRAMES):
        self.header = header
        self.n_frames = 0
        self._file = file
        self._crc = 0
        fitting = MAX_BLOCK_BYTES * 8 // sum(header.code_bits)
        self._block_frames = min(block_frames, fitting, 65535)
        self._waiting = np.zeros((header.n_codebooks, 0), dtype=np.int64)
        self._write(header.to_bytes())

    def push(self, indices: np.ndarray) -> None:
        """Append codes [K, t]. Raises `CodebookMismatch` or `BadCodes` for codes the header does not announce."""
        header = self.header
        if indices.ndim != 2 or indices.shape[0] != header.n_codebooks:
            raise CodebookMismatch(f"Codes have shape {indices.shape}; this file takes [{header.n_codebooks}, T].")
        if _is_out_of_range(indices, header.codebook_sizes):
            raise BadCodes(
                f"Codes run from {indices.min()} to {indices.max()}; codebook sizes are {header.codebook_sizes}. "
                "Encode with the codec the file names."
            )
        self._waiting = np.concatenate([self._waiting, indices], axis=1)
        while self._waiting.shape[1] >= self._block_frames:
            self._write_block(self._waiting[:, : self._block_frames])
            self._waiting = self._waiting[:, self._block_frames :]

    def finish(self, n_samples: int) -> None:
        """Write what waits and the end marker. Raises `BadContainer` if the header announced other counts."""
        if self._waiting.shape[1]:
            self._write_block(self._waiting)
        announced = (self.header.n_samples, self.header.n_frames)
        if announced not in ((None, None), (n_samples, self.n_frames)):
            raise BadContainer(
                f"Got {n_samples} samples in {self.n_frames} frames; the header announced {announced[0]} in "
                f"{announced[1]}. Announce the true counts, or none."
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
    """Reads a code file from its first byte to its last. Iterating gives the codes [K, t], block by block.

    A block is given out only after its CRC was checked. After the last block the counts, the end marker
    and the absence of anything after it are checked too. `header` then has its counts in every case.
    Raises `BadContainer` at the first thing that is not as it must be.
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
            # The length follows from the frame count; a wrong one is found before anything is read or allocated.
            if n_bytes != packed_bytes(widths, n_frames) or n_bytes > MAX_BLOCK_BYTES:
                raise _damaged(f"a block of {n_frames} frames says {n_bytes} bytes")
            payload = self._read(n_bytes, "a block")
            self._check_crc("a block")
            self.n_frames += n_frames
            self.payload_bytes += n_bytes
            if self.header.n_frames is not None and self.n_frames > self.header.n_frames:
                raise _damaged(f"it holds more than the {self.header.n_frames} frames it announces")
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
            raise _damaged(f"it holds {self.n_frames} frames and its end marker says {n_frames}")
        if header.n_frames is not None and (header.n_samples, header.n_frames) != (n_samples, n_frames):
            raise _damaged(
                f"its header announces {header.n_samples} samples in {header.n_frames} frames and its end marker "
                f"says {n_samples} in {n_frames}"
            )
        if self._file.read(1):
            raise _damaged("something follows its end marker")
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
            raise _damaged(f"{part} has checksum {self._crc:08x} and says {expected:08x}")


def _is_out_of_range(indices: np.ndarray, sizes: tuple[int, ...]) -> bool:
    return indices.size > 0 and bool((indices.min() < 0) or (indices.max(axis=1) >= sizes).any())


def _damaged(finding: str) -> BadContainer:
    return BadContainer(f"The code file is damaged: {finding}. Copy it again, or encode the sound again.")


def _truncated(part: str) -> BadContainer:
    return BadContainer(
        f"The code file ends inside {part}; expected an end marker. Copy it again, or encode the sound again."
    )
