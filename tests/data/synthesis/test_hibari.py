"""The hibari-tts teacher."""

import numpy as np
import pytest

from backend.data.synthesis.hibari import HibariTeacher
from backend.errors import BadSettings

SYMBOLS = "həlˈO ðˈɛɹ."


@pytest.fixture(scope="module")
def teacher():
    return HibariTeacher()


@pytest.mark.parametrize("speaker", ["hibari_heart", "hibari_heart~0.8", "hibari_heart~1.12"])
def test_durations_add_up_to_the_audio_length(teacher, speaker):
    spoken = teacher.speak(SYMBOLS, speaker, 1.0)
    assert len(spoken.durations) == len(SYMBOLS) + 2
    assert sum(spoken.durations) * spoken.unit.unit_samples == pytest.approx(len(spoken.samples), abs=2)
    assert np.abs(spoken.samples).max() > 0.1


def test_pitch_shift_keeps_the_tempo_and_output_is_deterministic(teacher):
    plain, low = (teacher.speak(SYMBOLS, name, 1.0) for name in ("hibari_heart", "hibari_heart~0.85"))
    assert len(low.samples) == pytest.approx(len(plain.samples), rel=0.1)
    np.testing.assert_array_equal(plain.samples, teacher.speak(SYMBOLS, "hibari_heart", 1.0).samples)


@pytest.mark.parametrize("speaker", ["other", "hibari_heart~2", "hibari_heart~x", "hibari_heart~nan"])
def test_unknown_speakers_are_rejected(teacher, speaker):
    with pytest.raises(BadSettings, match="hibari_heart~F"):
        teacher.speak(SYMBOLS, speaker, 1.0)
