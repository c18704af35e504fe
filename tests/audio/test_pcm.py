import numpy as np
import pytest

from backend.audio.pcm import from_int16, to_int16
from backend.errors import BadAudio


def test_full_scale_is_clipped_without_wrapping():
    loud = np.array([1.0, 0.99999, 1.5, -1.0, -1.5, 3e38, -3e38], np.float32)
    assert to_int16(loud).tolist() == [32767, 32767, 32767, -32768, -32768, 32767, -32768]


def test_int16_round_trip_through_floats_is_exact():
    every = np.arange(-32768, 32768).astype(np.int16)
    assert np.array_equal(to_int16(from_int16(every)), every)


def test_float64_is_accepted_and_nan_rejected():
    assert to_int16(np.array([[0.5]])).tolist() == [[16384]]
    for bad in (np.nan, np.inf):
        with pytest.raises(BadAudio):
            to_int16(np.array([bad], np.float32))
