"""A byte-wise range coder with 48-bit ranges and carries, on integers only.

The functions work on a state array (int64) and a byte array, in plain Python as well as compiled by numba,
so a language model and a compiled loop share one bit stream definition.
"""

from __future__ import annotations

import numpy as np

LOW, RANGE, CACHE, PENDING, POSITION = range(5)
STATE_SIZE = 5
_RANGE_BITS = 48
_FULL = (1 << _RANGE_BITS) - 1
_BOTTOM = 1 << (_RANGE_BITS - 8)
_SHIFT = _RANGE_BITS - 8
_KEEP = (1 << _SHIFT) - 1
FLUSH_BYTES = 6


def start_encoder(state: np.ndarray) -> None:
    state[LOW] = 0
    state[RANGE] = _FULL
    state[CACHE] = -1
    state[PENDING] = 0
    state[POSITION] = 0


def start_decoder(state: np.ndarray, content: np.ndarray) -> None:
    """In the decoder, LOW holds the distance of the code value from the low end of the range."""
    value = np.int64(0)
    for i in range(FLUSH_BYTES):
        value = (value << 8) | (int(content[i]) if i < content.size else 0)
    state[LOW] = value
    state[RANGE] = _FULL
    state[POSITION] = FLUSH_BYTES


def shift_low(state: np.ndarray, content: np.ndarray) -> None:
    """Move the top byte of LOW to the output; bytes of 255 wait until it is known whether a carry reaches them."""
    low = state[LOW]
    top = low >> _SHIFT
    if top != 255:
        carry = top >> 8
        position = state[POSITION]
        if state[CACHE] >= 0:
            if position < content.size:
                content[position] = (state[CACHE] + carry) & 255
            position += 1
        for _ in range(state[PENDING]):
            if position < content.size:
                content[position] = (255 + carry) & 255
            position += 1
        state[POSITION] = position
        state[PENDING] = 0
        state[CACHE] = top & 255
    else:
        state[PENDING] += 1
    state[LOW] = (low & _KEEP) << 8


def narrow(state: np.ndarray, start: int, size: int, bits: int) -> None:
    """Encode the span [start, start + size) of 2**bits. `size` is at least 1; `bits` is at most 24."""
    unit = state[RANGE] >> bits
    state[LOW] += unit * start
    state[RANGE] = unit * size


def target(state: np.ndarray, bits: int) -> int:
    """The point of 2**bits that the decoder is to find the span of."""
    point = state[LOW] // (state[RANGE] >> bits)
    return min(point, (1 << bits) - 1)


def widen(state: np.ndarray, start: int, size: int, bits: int) -> None:
    """Remove the span [start, start + size) of 2**bits that `target` pointed into."""
    unit = state[RANGE] >> bits
    state[LOW] -= unit * start
    state[RANGE] = unit * size


def refill(state: np.ndarray, content: np.ndarray) -> None:
    """Take bytes until the range is wide enough again; past the end of `content` they are zero."""
    while state[RANGE] < _BOTTOM:
        position = state[POSITION]
        byte = np.int64(content[position]) if position < content.size else np.int64(0)
        state[LOW] = (state[LOW] << 8) | byte
        state[RANGE] <<= 8
        state[POSITION] = position + 1


def is_narrow(state: np.ndarray) -> bool:
    return state[RANGE] < _BOTTOM


class RangeEncoder:
    """Collects spans of 2**bits; `finish` returns the bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._state = np.zeros(STATE_SIZE, np.int64)
        self._content = np.zeros(max_bytes + FLUSH_BYTES + 2, np.uint8)
        start_encoder(self._state)

    def push(self, start: int, size: int, bits: int) -> None:
        narrow(self._state, start, size, bits)
        while is_narrow(self._state):
            self._state[RANGE] <<= 8
            shift_low(self._state, self._content)

    def finish(self) -> bytes:
        for _ in range(FLUSH_BYTES + 1):
            shift_low(self._state, self._content)
        n_bytes = int(self._state[POSITION])
        if n_bytes > self._content.size:
            raise ValueError(f"got {n_bytes} bytes, expected at most {self._content.size}")
        return self._content[:n_bytes].tobytes()


class RangeDecoder:
    """Finds again the spans that were pushed: ask for the `point`, look up its span, `take` it."""

    def __init__(self, content: bytes) -> None:
        self._state = np.zeros(STATE_SIZE, np.int64)
        self._content = np.frombuffer(content or b"\0", np.uint8)
        start_decoder(self._state, self._content)

    def point(self, bits: int) -> int:
        return int(target(self._state, bits))

    def take(self, start: int, size: int, bits: int) -> None:
        widen(self._state, start, size, bits)
        refill(self._state, self._content)
