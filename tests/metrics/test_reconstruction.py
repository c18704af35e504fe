import numpy as np
import pytest

from backend.data.synthetic import noise, silence, speech_like, tone
from backend.errors import ScoreUnavailable
from backend.metrics.reconstruction import MEL_WINDOWS, magnitudes, mel_distance_db, mel_filters, si_sdr_db

RATE_HZ = 16_000
SPEECH = speech_like(1.0, RATE_HZ, seed=1)[0]


def test_identical_signals_have_no_distance():
    assert mel_distance_db(SPEECH, SPEECH, RATE_HZ) == 0
    assert si_sdr_db(SPEECH, SPEECH) == 100


def test_half_level_is_six_decibels():
    loud = noise(1.0, RATE_HZ, seed=2)[0]
    assert mel_distance_db(loud, loud / 2, RATE_HZ) == pytest.approx(6.02, abs=0.01)


def test_si_sdr_ignores_scale_and_counts_noise():
    disturbance = tone(1.0, RATE_HZ, 1000.0, peak=0.05)[0]
    clean = tone(1.0, RATE_HZ, 440.0, peak=0.5)[0]
    assert si_sdr_db(clean, 3 * (clean + disturbance)) == pytest.approx(20, abs=0.01)
    assert si_sdr_db(clean, disturbance) < -60


def test_more_noise_is_a_larger_distance():
    distances = [
        mel_distance_db(SPEECH, SPEECH + level * noise(1.0, RATE_HZ, seed=3)[0], RATE_HZ)
        for level in (0.001, 0.01, 0.1)
    ]
    assert distances == sorted(distances) and distances[0] > 0


def test_a_full_scale_sine_has_magnitude_one():
    sine = tone(0.2, RATE_HZ, 1000.0, peak=1.0)[0]
    assert magnitudes(sine, 512, 128).max() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("window", "n_bands"), MEL_WINDOWS)
def test_no_mel_band_is_empty(window, n_bands):
    filters = mel_filters(RATE_HZ, window, n_bands)
    assert filters.shape == (window // 2 + 1, n_bands)
    np.testing.assert_allclose(filters.sum(axis=0), 1)


def test_short_and_silent_signals_have_no_score():
    with pytest.raises(ScoreUnavailable, match="100 samples"):
        mel_distance_db(SPEECH[:100], SPEECH[:100], RATE_HZ)
    with pytest.raises(ScoreUnavailable, match="silent"):
        si_sdr_db(silence(0.1, RATE_HZ)[0], SPEECH[:1600])
    assert np.isfinite(si_sdr_db(SPEECH[:1600], silence(0.1, RATE_HZ)[0]))
