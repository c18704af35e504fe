"""Damaged and forged versions of a code file, always the same ones."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from zlib import crc32

import numpy as np

BLOCK_HEAD = struct.Struct("<HI")
# Offset and size of the fixed header fields.
FIELDS = {
    "version": (4, 2), "hash": (6, 16), "rate": (22, 4), "hop": (26, 4), "channels": (30, 2),
    "samples": (32, 8), "frames": (40, 8), "codebooks": (48, 1), "name_length": (49, 1), "name": (50, 4), "sizes": (54, 2),
}  # fmt: skip


def split(content: bytes, header_bytes: int) -> list[bytes]:
    """Splits a file into header, blocks and end marker, each without its CRC."""
    parts = [content[:header_bytes]]
    position = header_bytes + 4
    while position < len(content):
        n_frames, n_bytes = BLOCK_HEAD.unpack_from(content, position)
        size = BLOCK_HEAD.size + n_bytes if n_frames else 18
        parts.append(content[position : position + size])
        position += size + 4
    return parts


def join(parts: list[bytes]) -> bytes:
    """Joins parts into a file with valid CRCs."""
    crc, joined = 0, []
    for part in parts:
        crc = crc32(part, crc)
        joined.append(part + struct.pack("<I", crc))
    return b"".join(joined)


def mutations(content: bytes, other: bytes, header_bytes: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yields about 360 named mutants of `content`; `other` is another valid file with the same header, to splice from."""
    rng = np.random.default_rng(seed)
    size = len(content)
    for place in np.linspace(0, size * 8 - 1, 100).astype(int):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        yield f"bit {place}", bytes(flipped)
    for length in [*range(20), *np.linspace(20, size - 1, 50).astype(int)]:
        yield f"first {length} bytes", content[:length]
    for index in range(60):
        start, end = sorted(int(place) for place in rng.integers(0, size, 2))
        end += 1
        piece = content[start:end]
        noise = rng.bytes(end - start)
        at = int(rng.integers(0, size + 1))
        kinds = {
            "noise over": content[:start] + noise + content[end:],
            "without": content[:start] + content[end:],
            "twice": content[:end] + piece + content[end:],
            "moved": (content[:start] + content[end:])[:at] + piece + (content[:start] + content[end:])[at:],
            "from another": content[:start] + other[start:end] + content[end:],
            "tail of another": content[:start] + other[start:],
        }
        kind = list(kinds)[index % len(kinds)]
        yield f"{kind} {start}:{end} to {at}", kinds[kind]
    parts = split(content, header_bytes)
    for name, (offset, width) in FIELDS.items():
        for value in (
            b"\0" * width,
            b"\xff" * width,
            b"\x7f" + b"\xff" * (width - 1),
            rng.bytes(width),
            b"\x01" * width,
        ):
            yield f"{name} says {value.hex()}", join(_with(parts, 0, offset, value))
    for index in range(1, len(parts)):
        yield f"part {index} dropped", join(parts[:index] + parts[index + 1 :])
        yield f"part {index} twice", join(parts[: index + 1] + parts[index:])
        for head in (b"\0\0\0\0\0\0", b"\xff" * 6, b"\1\0\xff\xff\xff\xff", b"\xff\xff\1\0\0\0", b"\1\0\0\0\0\0"):
            yield f"part {index} starts {head.hex()}", join(_with(parts, index, 0, head))
    for index in range(1, len(parts) - 1):
        yield f"codes of part {index} out of range", join(_with(parts, index, BLOCK_HEAD.size, b"\xff" * 8))
    for index in range(27):
        yield f"noise {index}", content[: 4 * (index % 2)] + rng.bytes(int(rng.integers(1, 300)))
    yield "a tail", content + b"\0"
    yield "two files", content + other
    yield (
        "unknown counts in the header and none",
        join([_with(parts, 0, 32, b"\xff" * 16)[0], *parts[1:-1], BLOCK_HEAD.pack(0, 0) + b"\0" * 12]),
    )


def _with(parts: list[bytes], index: int, offset: int, value: bytes) -> list[bytes]:
    changed = bytearray(parts[index])
    changed[offset : offset + len(value)] = value
    return [*parts[:index], bytes(changed), *parts[index + 1 :]]
