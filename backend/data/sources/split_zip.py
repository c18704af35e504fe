"""Reads ZIP archives that are split into parts (`NAME.z01`, `NAME.z02` ... `NAME.zip`), as FSD50K is published.

The parts are one stream of bytes; the directory at its end names the part and the offset of each member. Python's
`zipfile` refuses such archives.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from backend.errors import BadContainer

END, ENTRY, LOCAL = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04"
STORED, DEFLATED = 0, 8
MAX_COMMENT_BYTES = 65_535
READ_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class SplitMember:
    """A file of the archive. `part` and `offset` are where its local header begins."""

    name: str
    size_bytes: int
    compressed_bytes: int
    crc32: int
    method: int
    part: int
    offset: int


class SplitZip:
    """A split archive, opened at its last part. Raises `BadContainer` when a part is missing or damaged."""

    def __init__(self, last: Path):
        parts: list[Path] = []
        while (part := last.with_suffix(f".z{len(parts) + 1:02d}")).is_file():
            parts.append(part)
        self._name = last.name
        self._files: list[BinaryIO] = [part.open("rb") for part in [*parts, last]]
        self._sizes = [part.stat().st_size for part in [*parts, last]]
        try:
            self.members = self._read_directory()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> SplitZip:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes all parts."""
        for file in self._files:
            file.close()

    def read(self, member: SplitMember) -> Iterator[bytes]:
        """Yields the content of a member in pieces. Raises `BadContainer` at its end if the CRC differs."""
        header = self._bytes_at(member.part, member.offset, 30)
        if header[:4] != LOCAL:
            raise self._damaged(f"no file begins where '{member.name}' should")
        name_bytes, extra_bytes = struct.unpack_from("<HH", header, 26)
        decoder = zlib.decompressobj(-zlib.MAX_WBITS) if member.method == DEFLATED else None
        crc, left, at = 0, member.compressed_bytes, member.offset + 30 + name_bytes + extra_bytes
        while left:
            piece = self._bytes_at(member.part, at, min(left, READ_BYTES))
            left, at = left - len(piece), at + len(piece)
            try:
                content = piece if decoder is None else decoder.decompress(piece)
                if decoder is not None and not left:
                    content += decoder.flush()
            except zlib.error as error:
                raise self._damaged(f"'{member.name}' cannot be decompressed") from error
            crc = zlib.crc32(content, crc)
            yield content
        if crc != member.crc32:
            raise self._damaged(f"'{member.name}' has another checksum than listed")

    def _read_directory(self) -> list[SplitMember]:
        tail_bytes = min(self._sizes[-1], 22 + MAX_COMMENT_BYTES)
        tail = self._bytes_at(len(self._files) - 1, self._sizes[-1] - tail_bytes, tail_bytes)
        at = tail.rfind(END)
        if at < 0 or len(tail) < at + 22:
            raise self._damaged("its directory is missing")
        last, first_part, _, n_entries, n_bytes, offset = struct.unpack_from("<HHHHII", tail, at + 4)
        if last + 1 != len(self._files):
            raise BadContainer(
                f"'{self._name}' is the last of {last + 1} parts; {len(self._files)} are here. Download the others."
            )
        directory = self._bytes_at(first_part, offset, n_bytes)
        members, at = [], 0
        for _ in range(n_entries):
            if directory[at : at + 4] != ENTRY or len(directory) < at + 46:
                raise self._damaged("its directory is damaged")
            flags, method, _, crc, compressed, size, name_bytes, extra_bytes, comment_bytes, part, _, _, start = (
                struct.unpack_from("<HHIIIIHHHHHII", directory, at + 8)
            )
            name = directory[at + 46 : at + 46 + name_bytes].decode("utf-8" if flags & 0x800 else "cp437")
            at += 46 + name_bytes + extra_bytes + comment_bytes
            if flags & 1 or method not in (STORED, DEFLATED) or part >= len(self._files):
                raise self._damaged(f"'{name}' is encrypted or of an unknown kind")
            if not name.endswith("/"):
                members.append(SplitMember(name, size, compressed, crc, method, part, start))
        return members

    def _bytes_at(self, part: int, offset: int, n_bytes: int) -> bytes:
        """Returns `n_bytes` from `offset` of a part on; they may go on in the next parts."""
        content = bytearray()
        while part < len(self._files) and len(content) < n_bytes:
            if offset >= self._sizes[part]:
                offset -= self._sizes[part]
                part += 1
                continue
            self._files[part].seek(offset)
            piece = self._files[part].read(n_bytes - len(content))
            content += piece
            offset += len(piece)
        if len(content) < n_bytes:
            raise self._damaged("it ends early")
        return bytes(content)

    def _damaged(self, what: str) -> BadContainer:
        return BadContainer(
            f"The split archive '{self._name}' is damaged: {what}. Delete its parts and download again."
        )
