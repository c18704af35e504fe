import numpy as np
import pytest

from backend.data import synthetic

MAKERS = [
    synthetic.silence,
    synthetic.tone,
    synthetic.chirp,
    synthetic.noise,
    synthetic.speech_like,
]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("rate_hz", [8000, 24000, 44100])
def test_signals_are_mono_float32_in_range_and_deterministic(make, rate_hz):
    samples = make(0.7, rate_hz)
    assert samples.shape == (1, round(0.7 * rate_hz))
    assert samples.dtype == np.float32
    assert np.isfinite(samples).all() and np.abs(samples).max() <= 1.0
    assert np.array_equal(samples, make(0.7, rate_hz))


def test_tone_has_its_frequency():
    spectrum = np.abs(np.fft.rfft(synthetic.tone(1.0, 24000, frequency_hz=1000.0)[0]))
    assert spectrum.argmax() == 1000


def test_chirp_rises():
    samples = synthetic.chirp(1.0, 24000, 200.0, 8000.0)[0]
    early, late = (np.abs(np.fft.rfft(part)).argmax() for part in (samples[:2400], samples[-2400:]))
    assert early * 10 < 1200 and late * 10 > 7000


@pytest.mark.parametrize("make", [synthetic.noise, synthetic.speech_like])
def test_seeds_differ(make):
    assert not np.array_equal(make(0.5, 16000, seed=1), make(0.5, 16000, seed=2))


def test_speech_like_has_low_frequency_energy_and_syllables():
    samples = synthetic.speech_like(3.0, 24000, seed=3)[0]
    power = np.abs(np.fft.rfft(samples)) ** 2
    low = power[: 4000 * 3].sum() / power.sum()
    assert low > 0.9
    level = np.sqrt((samples[: 72000 // 480 * 480].reshape(-1, 480) ** 2).mean(axis=1))
    assert level.min() < 0.05 * level.max()
    assert np.abs(samples).max() == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize("make", MAKERS[:1] + MAKERS[2:], ids=lambda make: make.__name__)
def test_zero_duration_is_empty(make):
    assert make(0.0, 24000).shape == (1, 0)
