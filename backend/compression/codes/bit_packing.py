"""Packs integers of given bit widths without gaps, losslessly.

Bits are stored least significant first, row by row; the last byte is padded with zeros.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.errors import BadCodes

MAX_WIDTH = 16


def packed_bytes(widths: Sequence[int], n_rows: int) -> int:
    """Returns the number of bytes for `n_rows` rows of these widths."""
    return (sum(widths) * n_rows + 7) // 8


def pack_bits(values: np.ndarray, widths: Sequence[int]) -> bytes:
    """Packs rows of integers [T, K]; column k takes `widths[k]` bits (1 to 16).

    Raises `BadCodes` for a value that does not fit its width.
    """
    mask = _mask(widths)
    if values.ndim != 2 or values.shape[1] != len(widths):
        raise BadCodes(f"Values have shape {values.shape}; expected [T, {len(widths)}].")
    if values.size and ((values < 0) | (values >> np.array(widths, dtype=np.int64) != 0)).any():
        raise BadCodes(f"Values from {values.min()} to {values.max()} do not fit widths {tuple(widths)}.")
    as_bytes = np.ascontiguousarray(values, dtype="<u2").view(np.uint8).reshape(*values.shape, 2)
    bits = np.unpackbits(as_bytes, axis=2, bitorder="little")
    return np.packbits(bits[:, mask], bitorder="little").tobytes()


def unpack_bits(packed: bytes, widths: Sequence[int], n_rows: int) -> np.ndarray:
    """Returns the rows [n_rows, K] (int64) that `pack_bits` packed.

    Raises `BadCodes` if `packed` has another length or its padding bits are not zero.
    """
    mask = _mask(widths)
    if len(packed) != packed_bytes(widths, n_rows):
        raise BadCodes(f"{n_rows} rows take {packed_bytes(widths, n_rows)} bytes; got {len(packed)}.")
    n_bits = sum(widths) * n_rows
    bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8), bitorder="little")
    if bits[n_bits:].any():
        raise BadCodes("The padding bits after the last value are not zero.")
    spread = np.zeros((n_rows, len(widths), MAX_WIDTH), dtype=np.uint8)
    spread[:, mask] = bits[:n_bits].reshape(n_rows, sum(widths))
    as_bytes = np.packbits(spread, axis=2, bitorder="little")
    return as_bytes.view("<u2")[:, :, 0].astype(np.int64)


def _mask(widths: Sequence[int]) -> np.ndarray:
    if not widths or not all(1 <= width <= MAX_WIDTH for width in widths):
        raise BadCodes(f"Bit widths are {tuple(widths)}; expected 1 to {MAX_WIDTH} each, at least one.")
    return np.arange(MAX_WIDTH) < np.array(widths)[:, None]
