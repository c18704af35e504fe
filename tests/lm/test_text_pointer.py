import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import BadSettings
from backend.lm.text_pointer import Pointer, path_sides, pointer_path


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(1, 5), st.randoms())
def test_path_covers_all_phonemes(durations, max_advance, random):
    n_symbols = len(durations)
    alignment = np.repeat(np.arange(n_symbols), durations)
    if len(alignment) * max_advance < n_symbols:
        with pytest.raises(BadSettings, match="cannot reach the end"):
            pointer_path(alignment, n_symbols, max_advance)
        return
    path = pointer_path(alignment, n_symbols, max_advance)
    assert path.place[0] == 0 and path.advance.min() >= 0 and path.advance.max() <= max_advance
    assert path.advance.sum() == n_symbols
    assert (np.cumsum(path.advance)[:-1] == path.place[1:]).all()


def test_valid_path_is_unchanged():
    alignment = np.repeat(np.arange(6), [2, 1, 0, 3, 1, 2])
    path = pointer_path(alignment, 6, max_advance=4)
    assert path.place.tolist() == alignment.tolist()
    assert path.advance.tolist() == [0, 1, 2, 0, 0, 1, 1, 0, 1]


@given(st.lists(st.integers(0, 7), min_size=1, max_size=20), st.integers(0, 4), st.integers(1, 5))
def test_path_side_ids_equal_a_pointers(durations, n_ahead, max_spent):
    alignment = np.repeat(np.arange(len(durations)), durations)
    if len(alignment) * 4 < len(durations):
        return
    symbols = np.arange(len(durations)) + 10
    path = pointer_path(alignment, len(symbols), 4)
    pointer = Pointer(symbols, n_ahead + 2, max_spent)
    sides = path_sides(symbols, path.place, n_ahead, max_spent)
    for side, advance in zip(sides, path.advance, strict=True):
        assert side.tolist() == pointer.side().tolist()
        pointer.advance(int(advance))
    assert pointer.is_finished
