"""A block of integer samples as the cascade's bytes: ranges, shifts and twins of the channels, then the coded samples.

Two channels at a time share one range coder stream, since each predicts from the other.
"""

from __future__ import annotations

import struct

import numpy as np

from backend.compression.lossless.kernel import code
from backend.compression.lossless.levels import ARITHMETIC, LEVELS
from backend.errors import BadContainer

_START = struct.Struct("<BB")  # arithmetic, level and whether the rate is low
_CHANNEL = struct.Struct("<Bii")  # kind and shift, least and greatest value after the shift
_STREAM = struct.Struct("<BI")  # history shift, bytes
MAX_BITS = 24
LOW_RATE_HZ = 30_000  # below, music and speech have shorter memories
_LOW_RATE = 0x80
_SPLIT, _TWIN, _SHIFT_BITS = 0x80, 0x40, 0x1F


def encode(samples: np.ndarray, level: int, rate_hz: int) -> bytes | None:
    """Bytes of samples [C, N] (int32), the same on every machine; None where they would be longer than the samples."""
    is_low_rate = rate_hz < LOW_RATE_HZ
    parts = [_START.pack(ARITHMETIC, level | (_LOW_RATE if is_low_rate else 0))]
    for start in range(0, samples.shape[0], 2):
        part = _encode_pair(samples[start : start + 2], level, is_low_rate)
        if part is None:
            return None
        parts.append(part)
    return b"".join(parts)


def decode(payload: bytes, channels: int, n: int, trace: np.ndarray | None = None) -> np.ndarray:
    """Samples [C, N] of a payload; adds the bytes that each 4096 of them cost to `trace`.

    Raises `BadContainer` where it is not one of this version.
    """
    reader = _PayloadReader(payload)
    arithmetic, level = reader.unpack(_START)
    is_low_rate, level = bool(level & _LOW_RATE), level & ~_LOW_RATE
    if arithmetic != ARITHMETIC or level not in LEVELS:
        raise BadContainer(
            f"A block was written with arithmetic {arithmetic} at level {level}; this version reads arithmetic "
            f"{ARITHMETIC} at levels {LEVELS.start} to {LEVELS.stop - 1}. Decompress it with the version that wrote it."
        )
    samples = np.zeros((channels, n), np.int32)
    for start in range(0, channels, 2):
        _decode_pair(reader, samples[start : start + 2], level, is_low_rate, trace)
    reader.finish()
    return samples


def _encode_pair(samples: np.ndarray, level: int, is_low_rate: bool) -> bytes | None:
    """Channel by channel what is the same for all its samples, then the rest by the cascade."""
    n = samples.shape[1]
    heads, tails, coded = [], [], []
    for c, channel in enumerate(samples):
        if c and n and np.array_equal(channel, samples[0]):
            heads.append(_CHANNEL.pack(_TWIN, 0, 0))
            continue
        used = int(np.bitwise_or.reduce(channel)) if n else 0
        shift = (used & -used).bit_length() - 1 if used else 0
        values, kind = channel >> shift, shift
        if n and int(values.max()) - int(values.min()) >= 1 << MAX_BITS:
            # The lowest byte of 32-bit audio is noise; it stays as it is.
            kind |= _SPLIT
            tails.append((values & 255).astype(np.uint8).tobytes())
            values = values >> 8
        low, high = (int(values.min()), int(values.max())) if n else (0, 0)
        heads.append(_CHANNEL.pack(kind, low, high))
        if low != high:
            coded.append((values, low, high))
    body = b""
    if coded:
        stacked = np.stack([values for values, _, _ in coded])
        limits = np.array([(low, high) for _, low, high in coded], np.int64)
        shift = _history_shift(stacked)
        stream = code(stacked, limits, level, shift, is_low_rate, None).stream
        if not stream:
            return None
        body = _STREAM.pack(shift, len(stream)) + stream
    return b"".join([*heads, body, *tails])


def _decode_pair(
    reader: _PayloadReader, samples: np.ndarray, level: int, is_low_rate: bool, trace: np.ndarray | None
) -> None:
    n = samples.shape[1]
    heads = [reader.unpack(_CHANNEL) for _ in samples]
    coded = []
    for c, (kind, low, high) in enumerate(heads):
        if kind & _TWIN:
            if c == 0:
                raise BadContainer("A block has a twin without a first channel. Copy the file again.")
        elif low > high or high - low >= 1 << MAX_BITS or not _fits(low, high, kind):
            raise BadContainer(f"A block has samples from {low} to {high}, which cannot be. Copy the file again.")
        elif low != high:
            coded.append(c)
        else:
            samples[c] = low
    if coded:
        shift, n_bytes = reader.unpack(_STREAM)
        if shift > MAX_BITS:
            raise BadContainer(f"A block has a history shift of {shift}; expected {MAX_BITS} at most. Copy it again.")
        limits = np.array([heads[c][1:] for c in coded], np.int64)
        blank = np.zeros((len(coded), n), np.int32)
        decoded, _, starts = code(blank, limits, level, shift, is_low_rate, reader.take(n_bytes))
        if trace is not None:
            trace += np.diff(starts[: trace.size], append=n_bytes)
        for c, values in zip(coded, decoded, strict=True):
            samples[c] = values
    for c, (kind, _, _) in enumerate(heads):
        if kind & _TWIN:
            continue
        if kind & _SPLIT:
            samples[c] = (samples[c] << 8) | np.frombuffer(reader.take(n), np.uint8)
        samples[c] <<= kind & _SHIFT_BITS
    for c, (kind, _, _) in enumerate(heads):
        if kind & _TWIN:
            samples[c] = samples[0]


def _fits(low: int, high: int, kind: int) -> bool:
    extra = (kind & _SHIFT_BITS) + (8 if kind & _SPLIT else 0)
    return low << extra >= -(1 << 31) and ((high + 1) << extra) - 1 < 1 << 31


def _history_shift(samples: np.ndarray) -> int:
    """Bits to drop so that prediction errors (in 1/256 of a step) are about 256 in the 16-bit histories."""
    if samples.shape[1] < 3:
        return 0
    rough = np.abs(np.diff(samples.astype(np.int64), 2, axis=1))
    return min(max((int(rough.sum()) // rough.size).bit_length() - 1, 0), MAX_BITS)


class _PayloadReader:
    def __init__(self, payload: bytes) -> None:
        self._payload, self._at = payload, 0

    def take(self, n_bytes: int) -> bytes:
        taken = self._payload[self._at : self._at + n_bytes]
        if len(taken) != n_bytes:
            raise BadContainer("A block ends too early. Copy the file again.")
        self._at += n_bytes
        return taken

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        return layout.unpack(self.take(layout.size))

    def finish(self) -> None:
        if self._at != len(self._payload):
            raise BadContainer("A block has data after its last sample. Copy the file again.")
