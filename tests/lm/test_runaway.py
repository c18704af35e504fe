import numpy as np
import pytest

from backend.lm.runaway import LoopDetector, SpeechLengthModel


def frames_until_detected(ids):
    detector = LoopDetector(frame_rate_hz=21.5)
    for n, main_id in enumerate(ids, 1):
        if detector.push(int(main_id)):
            return n, detector.n_before_loop
    return None


@pytest.mark.parametrize("period", [1, 2, 7, 30, 100, 128])
@pytest.mark.parametrize("slips", [0.0, 0.08])
def test_loop_is_detected(period, slips):
    random = np.random.default_rng(period)
    speech = random.integers(0, 4096, 150)
    loop = np.tile(random.integers(0, 4096, period), 2000 // period + 1)
    loop = np.where(random.random(len(loop)) < slips, random.integers(0, 4096, len(loop)), loop)
    detected, kept = frames_until_detected(np.concatenate((speech, loop)))
    latest = 150 + period + max(65, 2 * period) + 1
    assert 150 + period < detected <= (latest if not slips else 150 + 4 * max(65, 2 * period))
    assert 140 <= kept <= 150 + 2 * period + (detected - latest + 60 if slips else 0)


def test_random_speech_is_no_loop():
    # Ids as in repeated readings of the same few words: single ids repeat, longer sequences do not.
    random = np.random.default_rng(1)
    ids = np.repeat(random.integers(0, 40, 4000), random.integers(1, 4, 4000))
    assert frames_until_detected(ids) is None


def test_pause_is_no_loop_and_long_silence_is():
    speech = np.random.default_rng(2).integers(0, 4096, 200)
    pause = np.full(60, 7)
    assert frames_until_detected(np.concatenate((speech, pause, speech, pause, speech))) is None
    assert frames_until_detected(np.concatenate((speech, np.tile(pause, 3)))) is not None


def test_longest_length_follows_text_and_voice():
    pace = SpeechLengthModel(frame_rate_hz=21.5)
    text = "The quick brown fox jumps over the lazy dog. " * 4
    usual = 180 / 14 * 21.5  # 14 letters a second
    assert 1.5 * usual < pace.longest(text) < 5 * usual
    assert pace.longest("4711") > 4 * 21.5
    before = pace.longest(text)
    for _ in range(30):
        pace.learn(text, round(usual / 1.5))
    assert pace.longest(text) < before
    assert pace.longest(text) >= 2.5 * usual / 1.5
    # Three bytes a character: a Chinese text of a quarter of the characters takes about as long.
    assert 0.5 < SpeechLengthModel(21.5).longest("你好世界" * 15) / SpeechLengthModel(21.5).longest(text) < 1.5
