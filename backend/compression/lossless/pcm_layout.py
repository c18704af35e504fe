"""How the samples of a file are laid out in bytes, and both directions between bytes and integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from backend.errors import BadAudio

Coding = Literal["signed", "unsigned", "float"]
CODINGS: tuple[Coding, ...] = ("signed", "unsigned", "float")
WIDTHS = {"signed": (1, 2, 3, 4), "unsigned": (1,), "float": (4, 8)}
MAX_CHANNELS = 255


@dataclass(frozen=True, slots=True)
class PcmLayout:
    """Channels, rate and byte layout of interleaved PCM."""

    channels: int
    rate_hz: int
    sample_bytes: int
    coding: Coding = "signed"
    is_big_endian: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise BadAudio(f"The file has {self.channels} channels; expected 1 to {MAX_CHANNELS}.")
        if not 1 <= self.rate_hz < 2**32:
            raise BadAudio(f"The file has a sample rate of {self.rate_hz} Hz; expected 1 to {2**32 - 1} Hz.")
        if self.sample_bytes not in WIDTHS.get(self.coding, ()):
            raise BadAudio(
                f"The file has {self.coding} samples of {8 * self.sample_bytes} bits; expected 8, 16, 24 or 32 bits, "
                "or floats of 32 or 64 bits."
            )

    @property
    def frame_bytes(self) -> int:
        return self.channels * self.sample_bytes

    @property
    def is_integer(self) -> bool:
        return self.coding != "float"


def samples_of(content: bytes, layout: PcmLayout) -> np.ndarray:
    """Integers [C, N] (int32) of whole frames. Only for integer layouts."""
    order = ">" if layout.is_big_endian else "<"
    width = layout.sample_bytes
    if width == 1:
        kind = np.uint8 if layout.coding == "unsigned" else np.int8
        values = np.frombuffer(content, kind).astype(np.int32)
        if layout.coding == "unsigned":
            values -= 128
    elif width == 3:
        raw = np.frombuffer(content, np.uint8).reshape(-1, 3)
        if layout.is_big_endian:
            raw = raw[:, ::-1]
        padded = np.zeros((raw.shape[0], 4), np.uint8)
        padded[:, 1:] = raw
        values = padded.view("<i4")[:, 0].astype(np.int32) >> 8
    else:
        values = np.frombuffer(content, f"{order}i{width}").astype(np.int32)
    return np.ascontiguousarray(values.reshape(-1, layout.channels).T)


def bytes_of(samples: np.ndarray, layout: PcmLayout) -> bytes:
    """The bytes that `samples_of` read [C, N]."""
    values = np.ascontiguousarray(samples.T).reshape(-1)
    order = ">" if layout.is_big_endian else "<"
    width = layout.sample_bytes
    if width == 1:
        return (
            (values + 128).astype(np.uint8).tobytes()
            if layout.coding == "unsigned"
            else values.astype(np.int8).tobytes()
        )
    if width == 3:
        raw = values.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3]
        return (raw[:, ::-1] if layout.is_big_endian else raw).tobytes()
    return values.astype(f"{order}i{width}").tobytes()
