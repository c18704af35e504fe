import math
import warnings

import numpy as np
import pytest

from backend.audio.loudness import loudness_lufs, normalize_loudness
from backend.audio.waveform import Waveform
from backend.data import synthetic
from backend.errors import BadAudio


@pytest.mark.parametrize("rate_hz", [24000, 48000])
def test_full_scale_tone_near_1_khz_measures_minus_3_lufs(rate_hz):
    # BS.1770: a 0 dBFS sine of 997 Hz in one channel reads -3.01 LUFS.
    wave = Waveform(synthetic.tone(2.0, rate_hz, 997.0, peak=1.0), rate_hz)
    assert loudness_lufs(wave) == pytest.approx(-3.01, abs=0.1)


@pytest.mark.parametrize("rate_hz", [8000, 22050, 44100])
@pytest.mark.parametrize("target_lufs", [-30.0, -18.0])
def test_normalization_reaches_the_target(rate_hz, target_lufs):
    wave = Waveform(synthetic.speech_like(2.0, rate_hz, peak=0.01), rate_hz)
    assert loudness_lufs(normalize_loudness(wave, target_lufs, 0.0)) == pytest.approx(target_lufs, abs=0.05)


def test_peak_limit_overrides_the_target():
    wave = Waveform(synthetic.speech_like(2.0, 24000), 24000)
    loud = normalize_loudness(wave, 0.0, peak_limit_db=-1.0)
    assert np.abs(loud.samples).max() == pytest.approx(10 ** (-1 / 20), rel=1e-5)
    assert loudness_lufs(loud) < 0.0


@pytest.mark.parametrize("n_samples", [1, 2, 100, 9599, 9600, 9601])
def test_short_clips_have_about_the_loudness_of_long_ones(n_samples):
    wave = Waveform(synthetic.noise(1.0, 24000)[:, :n_samples], 24000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lufs = loudness_lufs(wave)
    assert not math.isnan(lufs)
    if n_samples >= 100:
        assert lufs == pytest.approx(loudness_lufs(Waveform(synthetic.noise(1.0, 24000), 24000)), abs=1.5)
    assert np.isfinite(normalize_loudness(wave).samples).all()


@pytest.mark.parametrize("n_samples", [10, 48000])
def test_silence_is_minus_infinity_and_is_not_changed(n_samples):
    wave = Waveform(np.zeros((2, n_samples), np.float32), 24000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert loudness_lufs(wave) == -math.inf
    assert normalize_loudness(wave) is wave


def test_audio_below_the_gate_counts_as_silence():
    wave = Waveform(synthetic.noise(1.0, 24000, peak=1e-5), 24000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert loudness_lufs(wave) == -math.inf
    assert normalize_loudness(wave) is wave


def test_loudness_of_many_channels_is_measured():
    wave = Waveform(np.repeat(synthetic.noise(1.0, 24000), 8, axis=0), 24000)
    assert math.isfinite(loudness_lufs(wave))


def test_empty_and_nan_audio_is_rejected():
    with pytest.raises(BadAudio, match="no samples"):
        loudness_lufs(Waveform(np.zeros((1, 0), np.float32), 24000))
    with pytest.raises(BadAudio, match="NaN"):
        loudness_lufs(Waveform(np.full((1, 100), np.nan, np.float32), 24000))
    with pytest.raises(BadAudio, match="finite"):
        normalize_loudness(Waveform(synthetic.tone(1.0, 24000), 24000), math.nan)
