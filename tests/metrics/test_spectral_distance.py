import numpy as np
import pytest

from backend.errors import ScoreUnavailable
from backend.metrics.spectral_distance import log_mel_distance_db, multi_resolution_stft_distance, tonal_error_db

RATE_HZ = 16_000


def noise(seed: int = 0, n_samples: int = 16_000) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(n_samples)).astype(np.float32)


def tone(frequency_hz: float) -> np.ndarray:
    return np.float32(0.3) * np.sin(2 * np.pi * frequency_hz * np.arange(32_000) / RATE_HZ).astype(np.float32)


def test_equal_sounds_have_no_distance():
    sound = noise()
    assert log_mel_distance_db(sound, sound, RATE_HZ) == 0
    assert multi_resolution_stft_distance(sound, sound) == 0
    assert tonal_error_db(sound, sound, RATE_HZ) == 0


def test_half_the_amplitude_is_six_decibels():
    assert log_mel_distance_db(noise(), 0.5 * noise(), RATE_HZ) == pytest.approx(6.02, abs=0.05)


def test_what_lies_sixty_decibels_below_the_peak_does_not_count():
    loud = tone(1000)
    assert log_mel_distance_db(loud, loud + 1e-6 * noise(n_samples=32_000), RATE_HZ) < 0.2


def test_band_limit_looks_below_it_only():
    spectrum = np.fft.rfft(noise())
    spectrum[len(spectrum) * 3 // 4 :] = 0
    dull = np.fft.irfft(spectrum)
    assert log_mel_distance_db(noise(), dull, RATE_HZ, max_hz=5000) < 0.3
    assert log_mel_distance_db(noise(), dull, RATE_HZ) > 3


def test_detuned_tone_is_a_tonal_error():
    assert tonal_error_db(tone(440), tone(450), RATE_HZ) > 3 * tonal_error_db(tone(440), 0.9 * tone(440), RATE_HZ)


def test_silence_has_no_score():
    with pytest.raises(ScoreUnavailable, match="silent"):
        log_mel_distance_db(np.zeros(8000, np.float32), noise(n_samples=8000), RATE_HZ)
