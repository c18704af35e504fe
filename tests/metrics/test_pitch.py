"""Pitch statistics of synthetic voices with known pitch."""

import numpy as np
import pytest

from backend.errors import ScoreUnavailable
from backend.metrics.pitch import RATE_HZ, pitch_statistics, pitch_track

TIME_S = np.arange(2 * RATE_HZ) / RATE_HZ


def voice(pitch_hz):
    phase = 2 * np.pi * np.cumsum(pitch_hz * np.ones_like(TIME_S)) / RATE_HZ
    return sum(np.sin(k * phase) / k for k in range(1, 9)) * 0.1


@pytest.mark.parametrize("pitch_hz", [80, 123.4, 220, 390])
def test_steady_voice_has_its_pitch_and_no_spread(pitch_hz):
    statistics = pitch_statistics(voice(pitch_hz))
    assert statistics.pitch_hz == pytest.approx(pitch_hz, rel=0.005)
    assert statistics.spread_semitones < 0.05
    assert statistics.voiced_share > 0.95


@pytest.mark.parametrize("depth", [1.0, 3.0])
def test_spread_is_the_standard_deviation_of_the_pitch(depth):
    statistics = pitch_statistics(voice(150 * 2 ** (depth * np.sin(2 * np.pi * 2 * TIME_S) / 12)))
    assert statistics.spread_semitones == pytest.approx(depth / np.sqrt(2), rel=0.05)


def test_pauses_and_noise_are_not_voiced():
    sound = voice(150)
    sound[RATE_HZ // 2 : RATE_HZ] = 0
    sound[RATE_HZ : 3 * RATE_HZ // 2] = 0.02 * np.random.default_rng(0).standard_normal(RATE_HZ // 2)
    assert pitch_statistics(sound).voiced_share == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("sound", [np.zeros(RATE_HZ), np.zeros(0), np.random.default_rng(0).standard_normal(RATE_HZ)])
def test_unvoiced_audio_has_no_pitch_statistics(sound):
    with pytest.raises(ScoreUnavailable, match="voiced"):
        pitch_statistics(sound)
    assert not pitch_track(sound)[1:].any()
