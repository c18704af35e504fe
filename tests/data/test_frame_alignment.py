"""Alignment of symbol durations with codec frames."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.data.frame_alignment import DurationUnit, frame_alignment

PLAIN = DurationUnit(unit_samples=600, rate_hz=24_000, lead_samples=0)
CODEC = {"hop_samples": 960, "latency_samples": 0, "rate_hz": 24_000}


def test_frame_belongs_to_the_symbol_at_its_middle():
    # Symbols end at 1200, 1800 and 4800; the middles are 480, 1440, 2400, 3360, 4320.
    assert frame_alignment((2, 1, 5), 5, PLAIN, first_sample=0, **CODEC).tolist() == [0, 1, 2, 2, 2]


def test_symbol_shorter_than_a_frame_may_have_none():
    assert frame_alignment((1, 1, 1, 1, 4), 4, PLAIN, first_sample=0, **CODEC).tolist() == [0, 2, 4, 4]


def test_trim_and_lead_move_the_symbols_earlier():
    whole = frame_alignment((4, 4, 4, 4), 10, PLAIN, first_sample=0, **CODEC)
    trimmed = frame_alignment((4, 4, 4, 4), 8, PLAIN, first_sample=1920, **CODEC)
    leading = frame_alignment((4, 4, 4, 4), 8, DurationUnit(600, 24_000, 1920), first_sample=0, **CODEC)
    assert trimmed.tolist() == whole[2:].tolist() == leading.tolist()


def test_latency_of_the_codec_moves_the_symbols_later():
    at_once = frame_alignment((4, 4, 4, 4), 10, PLAIN, first_sample=0, **CODEC)
    late = frame_alignment((4, 4, 4, 4), 12, PLAIN, first_sample=0, **CODEC | {"latency_samples": 1920})
    assert late.tolist() == [0, 0, *at_once.tolist()]


def test_alignment_is_equal_at_another_sample_rate():
    slow = frame_alignment((3, 1, 2, 9), 9, PLAIN, first_sample=500, **CODEC)
    fast = frame_alignment(
        (3, 1, 2, 9), 9, PLAIN, first_sample=500, hop_samples=1764, latency_samples=0, rate_hz=44_100
    )
    assert slow.tolist() == fast.tolist()


@pytest.mark.parametrize("latency_samples", [0, 720])
@given(durations=st.lists(st.integers(0, 20), min_size=2, max_size=40), n_frames=st.integers(1, 60))
def test_alignment_is_monotonic_and_in_range(latency_samples, durations, n_frames):
    found = frame_alignment(
        durations, n_frames, DurationUnit(), first_sample=3000, **CODEC | {"latency_samples": latency_samples}
    )
    assert found.dtype == np.int16 and len(found) == n_frames
    assert (np.diff(found) >= 0).all() and found.min() >= 0 and found.max() < len(durations)
