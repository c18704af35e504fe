import numpy as np
import pytest

from backend.audio.waveform import Waveform
from backend.errors import BadAudio


def wave(n_channels=2, n_samples=1000, rate_hz=1000):
    return Waveform(np.arange(n_channels * n_samples, dtype=np.float32).reshape(n_channels, -1) / 1e4, rate_hz)


def test_properties_count_channels_samples_and_seconds():
    assert (wave().n_channels, wave().n_samples, wave(rate_hz=500).duration_s) == (2, 1000, 2.0)


@pytest.mark.parametrize(
    "samples",
    [np.zeros(10, np.float32), np.zeros((1, 10)), np.zeros((1, 10), np.int16), np.zeros((0, 10), np.float32), [[0.0]]],
)
def test_wrong_shapes_and_types_are_rejected(samples):
    with pytest.raises(BadAudio):
        Waveform(samples, 24000)


@pytest.mark.parametrize("rate_hz", [0, -1, 24000.0, True, None])
def test_wrong_rates_are_rejected(rate_hz):
    with pytest.raises(BadAudio, match="rate"):
        Waveform(np.zeros((1, 10), np.float32), rate_hz)


def test_of_accepts_vectors_and_int16():
    assert Waveform.of(np.array([0.5, -0.5]), 8000).samples.shape == (1, 2)
    assert Waveform.of(np.array([[-32768, 16384]], np.int16), 8000).samples.tolist() == [[-1.0, 0.5]]
    with pytest.raises(BadAudio, match="int64"):
        Waveform.of(np.array([1, 2]), 8000)


def test_require_finite_counts_bad_samples():
    wave().require_finite()
    with pytest.raises(BadAudio, match="2 of 4"):
        Waveform(np.array([[0.0, np.nan, np.inf, 1.0]], np.float32), 8000).require_finite()


def test_mono_is_the_mean_of_the_channels():
    stereo = Waveform(np.array([[1.0, 0.0], [0.0, -1.0]], np.float32), 8000)
    assert stereo.mono().samples.tolist() == [[0.5, -0.5]]
    single = wave(1)
    assert single.mono() is single


def test_slice_is_clipped_to_the_waveform():
    assert wave().slice_s(0.25, 0.5).samples.tolist() == wave().samples[:, 250:500].tolist()
    assert wave().slice_s(-5.0, 99.0).n_samples == 1000
    assert wave().slice_s(2.0, 3.0).n_samples == 0


@pytest.mark.parametrize(("start_s", "end_s"), [(0.5, 0.2), (float("nan"), 1.0), (0.0, float("inf"))])
def test_invalid_slices_are_rejected(start_s, end_s):
    with pytest.raises(BadAudio, match="slice"):
        wave().slice_s(start_s, end_s)
