"""Timeouts and frame budgets from text length and measured throughput."""

import pytest

from backend.runtime.throughput import FIRST_FRAMES_PER_S, ThroughputEstimate, frame_budget


def test_timeout_grows_with_text_length_and_slowness():
    slow, quick = ThroughputEstimate(), ThroughputEstimate()
    for _ in range(50):
        slow.update(20, 10.0)
        quick.update(2000, 10.0)
    assert slow.frames_per_s == pytest.approx(2, rel=0.01)
    assert slow.timeout_s(500) > quick.timeout_s(500) > quick.timeout_s(50)


def test_empty_measurements_are_ignored():
    throughput = ThroughputEstimate()
    throughput.update(0, 1.0)
    throughput.update(5, 0.0)
    assert throughput.frames_per_s == FIRST_FRAMES_PER_S


def test_frame_budget_allows_slow_speech_only():
    sentence = "The quick brown fox jumps over the lazy dog."
    spoken_s = frame_budget(sentence, 25) / 25
    assert 3 * 0.07 * len(sentence) < spoken_s < 30
    assert frame_budget("1234567890", 25) > frame_budget("abcdefghij", 25)
