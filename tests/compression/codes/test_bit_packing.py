import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.compression.codes.bit_packing import pack_bits, packed_bytes, unpack_bits
from backend.errors import BadCodes

WIDTHS = st.lists(st.integers(1, 16), min_size=1, max_size=12)


def reference_pack(values, widths):
    number, place = 0, 0
    for row in values:
        for value, width in zip(row, widths, strict=True):
            number |= int(value) << place
            place += width
    return number.to_bytes((place + 7) // 8, "little")


@settings(max_examples=80, deadline=None)
@given(WIDTHS, st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_packing_equals_the_definition_and_unpacks_exactly(widths, n_rows, seed):
    generator = np.random.default_rng(seed)
    values = generator.integers(0, 2 ** np.array(widths), size=(n_rows, len(widths)))
    packed = pack_bits(values, widths)
    assert packed == reference_pack(values, widths)
    assert len(packed) == packed_bytes(widths, n_rows)
    assert np.array_equal(unpack_bits(packed, widths, n_rows), values)


@pytest.mark.parametrize("width", range(1, 17))
def test_largest_and_smallest_value_of_each_width_survive(width):
    values = np.array([[0], [2**width - 1], [0], [2**width - 1]])
    assert np.array_equal(unpack_bits(pack_bits(values, [width]), [width], 4), values)


@pytest.mark.parametrize("value", [-1, 8, 2**16, 2**40])
def test_values_too_wide_are_rejected(value):
    with pytest.raises(BadCodes, match="do not fit"):
        pack_bits(np.array([[0, value]]), [3, 3])


def test_wrong_lengths_and_padding_bits_are_rejected():
    packed = pack_bits(np.array([[1, 2]]), [3, 3])
    with pytest.raises(BadCodes, match="take 1 bytes"):
        unpack_bits(packed + b"\0", [3, 3], 1)
    with pytest.raises(BadCodes, match="padding"):
        unpack_bits(bytes([packed[0] | 0x80]), [3, 3], 1)
    with pytest.raises(BadCodes, match="widths"):
        pack_bits(np.zeros((1, 1), dtype=int), [17])
    with pytest.raises(BadCodes, match="shape"):
        pack_bits(np.zeros((1, 3), dtype=int), [4, 4])
