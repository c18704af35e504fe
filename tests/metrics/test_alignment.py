import numpy as np
import pytest

from backend.data.synthetic import noise, silence, speech_like
from backend.metrics.alignment import find_lag, overlap

RATE_HZ = 16_000
SPEECH = speech_like(2.0, RATE_HZ, seed=3)[0]


@pytest.mark.parametrize("lag", [-700, -3, 0, 1, 240, 3000])
def test_a_delayed_copy_aligns_exactly(lag):
    later = np.concatenate([np.zeros(max(lag, 0)), SPEECH, np.zeros(100)])[max(-lag, 0) :]
    assert find_lag(SPEECH, later, RATE_HZ) == lag
    aligned = overlap(SPEECH, later, lag)
    assert len(aligned.reference) == len(SPEECH) - max(-lag, 0)
    np.testing.assert_array_equal(aligned.reference, aligned.signal)


@pytest.mark.parametrize("seed", range(6))
def test_phase_randomized_copy_is_aligned_within_seven_milliseconds(seed):
    """For a codec that regenerates the waveform, only the envelope can be aligned."""
    clean = speech_like(2.0, RATE_HZ, seed=seed)[0]
    frames = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(clean, 320)[::80] * np.hanning(320))
    phases = np.exp(2j * np.pi * np.random.default_rng(seed).uniform(size=frames.shape))
    resynthesized = np.zeros(len(clean))
    for index, frame in enumerate(np.fft.irfft(np.abs(frames) * phases)):
        resynthesized[index * 80 : index * 80 + 320] += frame
    later = np.concatenate([np.zeros(400), resynthesized])
    assert abs(find_lag(clean, later, RATE_HZ) - 400) <= 0.007 * RATE_HZ


def test_lags_beyond_the_limit_are_not_searched():
    later = np.concatenate([np.zeros(4000), SPEECH])
    assert abs(find_lag(SPEECH, later, RATE_HZ, max_lag_s=0.1)) <= 1600


def test_silence_and_very_short_signals_have_no_lag():
    empty = silence(0.5, RATE_HZ)[0]
    short = noise(0.001, RATE_HZ)[0]
    for pair in ((empty, empty), (SPEECH, empty), (empty, SPEECH), (short, short)):
        assert find_lag(*pair, RATE_HZ) == 0
