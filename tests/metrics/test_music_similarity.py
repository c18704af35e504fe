import numpy as np
import pytest

from backend.errors import ScoreUnavailable
from backend.metrics.music_similarity import chroma_similarity, onset_f1, onsets_s

RATE_HZ = 16_000
STARTS_S = np.array([0.5, 1.0, 1.6, 2.3])


def chord(*frequencies_hz: float) -> np.ndarray:
    time_s = np.arange(2 * RATE_HZ) / RATE_HZ
    return sum(0.2 * np.sin(2 * np.pi * f * time_s) for f in frequencies_hz)


def plucks(starts_s: np.ndarray) -> np.ndarray:
    samples = np.zeros(3 * RATE_HZ)
    time_s = np.arange(RATE_HZ // 4) / RATE_HZ
    pluck = np.exp(-20 * time_s) * np.sin(2 * np.pi * 600 * time_s)
    for start in starts_s:
        first = int(start * RATE_HZ)
        samples[first : first + len(pluck)] += 0.5 * pluck
    return samples


def test_same_chord_is_similar_and_another_is_not():
    c_major, f_sharp_major = chord(261.6, 329.6, 392.0), chord(370.0, 466.2, 554.4)
    assert chroma_similarity(c_major, 0.3 * c_major, RATE_HZ) == pytest.approx(1.0, abs=1e-6)
    assert chroma_similarity(c_major, f_sharp_major, RATE_HZ) < 0.3


def test_onsets_are_found_where_notes_start():
    found = onsets_s(plucks(STARTS_S), RATE_HZ)
    assert len(found) == len(STARTS_S)
    assert np.abs(found - STARTS_S).max() < 0.03


def test_onset_score_counts_the_missing_and_the_invented():
    reference = plucks(STARTS_S)
    assert onset_f1(reference, reference, RATE_HZ) == 1
    assert onset_f1(reference, plucks(STARTS_S[:2]), RATE_HZ) == pytest.approx(2 * 2 / 6)
    assert onset_f1(reference, plucks(STARTS_S + 0.2), RATE_HZ) == 0


def test_silence_has_no_score():
    silence = np.zeros(RATE_HZ)
    for score in (chroma_similarity, onset_f1):
        with pytest.raises(ScoreUnavailable):
            score(silence, silence, RATE_HZ)
