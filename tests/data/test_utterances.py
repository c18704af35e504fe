"""Recordings played at another rate are other speakers, each with several utterances, and still aligned."""

from pathlib import Path

import numpy as np
import pytest

from backend.data.frame_alignment import frame_alignment
from backend.data.utterances import IN_A_ROW, Utterance, in_turn_at_speeds

FACTORS = (0.8, 1.25)


def utterance(number: int, speaker: str) -> Utterance:
    return Utterance(f"u{number}", Path("x.wav"), "hm", "m", speaker, (4, 20, 6), first_sample=1200, seconds=0.7)


def test_played_faster_every_time_is_shorter():
    item, played = utterance(0, "ann"), utterance(0, "ann").played(1.25)
    assert (played.id, played.speaker, played.factor) == ("u0~1.25", "ann~1.25", 1.25)
    assert played.seconds == pytest.approx(item.seconds / 1.25)

    def aligned(item: Utterance, n_frames: int) -> np.ndarray:
        return frame_alignment(item.durations, n_frames, item.unit, first_sample=item.first_sample, hop_samples=60,
                               latency_samples=0, rate_hz=24_000)  # fmt: skip

    before, after = aligned(item, 250), aligned(played, 200)
    assert abs(np.argmax(before == 2) / 1.25 - np.argmax(after == 2)) <= 1
    assert abs(np.argmax(before == 1) / 1.25 - np.argmax(after == 1)) <= 1


def test_speakers_made_by_playing_have_several_utterances():
    items = [utterance(i, "ann") for i in range(4 * IN_A_ROW)] + [utterance(i, f"mix{i // 2}") for i in range(100, 160)]
    found = in_turn_at_speeds(items, FACTORS)
    assert [item.id.partition("~")[0] for item in found] == [item.id for item in items]
    counts: dict[str, int] = {}
    for item in found:
        counts[item.speaker] = counts.get(item.speaker, 0) + 1
    assert counts["ann~0.8"] == counts["ann~1.25"] == 2 * IN_A_ROW
    assert {n for name, n in counts.items() if name.startswith("mix")} == {2}
    assert {item.factor for item in found if item.speaker.startswith("mix")} == set(FACTORS)
