"""Timeouts follow the text and the measured speed."""

import pytest

from backend.runtime.throughput import ThroughputEstimate, frame_budget


def test_a_slower_machine_and_a_longer_text_get_more_time():
    slow, quick = ThroughputEstimate(), ThroughputEstimate()
    for _ in range(50):
        slow.learn(20, 10.0)
        quick.learn(2000, 10.0)
    assert slow.frames_per_s == pytest.approx(2, rel=0.01)
    assert slow.timeout_s(500) > quick.timeout_s(500) > quick.timeout_s(50)


def test_nothing_learned_from_nothing():
    pace = ThroughputEstimate()
    pace.learn(0, 1.0)
    pace.learn(5, 0.0)
    assert not pace.is_measured


def test_the_budget_lets_slow_speech_through_and_stops_endless_speech():
    sentence = "The quick brown fox jumps over the lazy dog."
    spoken_s = frame_budget(sentence, 25) / 25
    assert 3 * 0.07 * len(sentence) < spoken_s < 30
    assert frame_budget("1234567890", 25) > frame_budget("abcdefghij", 25)
