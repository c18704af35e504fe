"""The header of a code file: describes the codes and is validated as a whole."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

from backend.codes import CodecSpec
from backend.errors import BadContainer

MAGIC = b"\x89PGC"
VERSION = 1
HASH_DIGITS = 32  # of the weights' SHA-256: 128 bits identify a model at half the size
UNKNOWN = 2**64 - 1  # frame and sample count of a stream of unknown length
START = struct.Struct("<4sH")  # magic, version
FIXED = struct.Struct("<16sIIHQQBB")  # hash, rate, hop, channels, samples, frames, codebooks, name length
NAME = re.compile(rb"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class ContainerHeader:
    """Metadata of a code file. Counts are None while a stream of unknown length is being written.

    `n_samples` counts at `sample_rate_hz`: the audio without the codec's delay and padding.
    """

    codec: str
    weights_hash: str
    sample_rate_hz: int
    hop_samples: int
    channels: int
    codebook_sizes: tuple[int, ...]
    n_samples: int | None = None
    n_frames: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights_hash", self.weights_hash[:HASH_DIGITS])
        wrong = [
            f"{name} {value!r}"
            for name, value, is_legal in (
                ("codec name", self.codec, NAME.fullmatch(self.codec.encode("utf-8", "replace"))),
                ("weights hash", self.weights_hash, re.fullmatch(f"[0-9a-f]{{{HASH_DIGITS}}}", self.weights_hash)),
                ("sample rate", self.sample_rate_hz, 1 <= self.sample_rate_hz <= 1_000_000),
                ("hop", self.hop_samples, 1 <= self.hop_samples <= 1_000_000),
                ("channel count", self.channels, 1 <= self.channels <= 255),
                ("codebook count", len(self.codebook_sizes), 1 <= len(self.codebook_sizes) <= 255),
                ("codebook sizes", self.codebook_sizes, all(2 <= size <= 65536 for size in self.codebook_sizes)),
                ("sample count", self.n_samples, self.n_samples is None or 0 <= self.n_samples < UNKNOWN),
                ("frame count", self.n_frames, self.n_frames is None or 0 <= self.n_frames < UNKNOWN),
                ("counts", "only one", (self.n_samples is None) == (self.n_frames is None)),
            )
            if not is_legal
        ]
        if not wrong and (self.n_samples or 0) > (self.n_frames or 0) * self.hop_samples:
            wrong = [f"{self.n_samples} samples in {self.n_frames} frames of {self.hop_samples}"]
        if wrong:
            raise BadContainer(f"The header has an invalid {', '.join(wrong)}. Encode the audio again.")

    @classmethod
    def of(
        cls, spec: CodecSpec, weights_hash: str, n_codebooks: int | None = None,
        n_samples: int | None = None, n_frames: int | None = None,
    ) -> ContainerHeader:  # fmt: skip
        """Creates the header for codes of a codec, keeping its first `n_codebooks` codebooks."""
        sizes = spec.codebook_sizes[:n_codebooks]
        return cls(
            spec.name, weights_hash, spec.sample_rate_hz, spec.hop_samples, spec.channels, sizes, n_samples, n_frames
        )

    @property
    def n_codebooks(self) -> int:
        return len(self.codebook_sizes)

    @property
    def code_bits(self) -> tuple[int, ...]:
        return tuple((size - 1).bit_length() for size in self.codebook_sizes)

    def to_bytes(self) -> bytes:
        """Serializes the header without its CRC."""
        name = self.codec.encode()
        n_samples = UNKNOWN if self.n_samples is None else self.n_samples
        n_frames = UNKNOWN if self.n_frames is None else self.n_frames
        fixed = FIXED.pack(
            bytes.fromhex(self.weights_hash), self.sample_rate_hz, self.hop_samples, self.channels,
            n_samples, n_frames, self.n_codebooks, len(name),
        )  # fmt: skip
        sizes = struct.pack(f"<{self.n_codebooks}H", *(size - 1 for size in self.codebook_sizes))
        return START.pack(MAGIC, VERSION) + fixed + name + sizes

    @classmethod
    def read(cls, read: Callable[[int], bytes], check_crc: Callable[[], None]) -> ContainerHeader:
        """Parses a header from the bytes that `read(n)` returns; `check_crc` is called before any field is used."""
        start = read(START.size)
        magic, version = START.unpack(start)
        if magic != MAGIC:
            raise BadContainer(
                f"The file starts with {magic!r}; a code file starts with {MAGIC!r}. "
                "Pass a .pgc file written by 'phonogram encode'."
            )
        if version != VERSION:
            raise BadContainer(
                f"The file has format version {version}; this version reads {VERSION}. Update Phonogram."
            )
        weights_hash, rate_hz, hop_samples, channels, n_samples, n_frames, n_codebooks, n_name = FIXED.unpack(
            read(FIXED.size)
        )
        name = read(n_name).decode("utf-8", "replace")
        sizes = struct.unpack(f"<{n_codebooks}H", read(2 * n_codebooks))
        check_crc()
        return cls(
            name, weights_hash.hex(), rate_hz, hop_samples, channels, tuple(size + 1 for size in sizes),
            None if n_samples == UNKNOWN else n_samples, None if n_frames == UNKNOWN else n_frames,
        )  # fmt: skip
