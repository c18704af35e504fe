"""Speed perturbation gives other speakers, each with several utterances, and keeps the alignment."""

from pathlib import Path

import numpy as np
import pytest

from backend.data.frame_alignment import frame_alignment
from backend.data.utterances import RUN_LENGTH, Utterance, perturb_speeds

FACTORS = (0.8, 1.25)


def utterance(number: int, speaker: str) -> Utterance:
    return Utterance(f"u{number}", Path("x.wav"), "hm", "m", speaker, (4, 20, 6), first_sample=1200, seconds=0.7)


def test_faster_playback_shortens_all_times():
    item, faster = utterance(0, "ann"), utterance(0, "ann").speed_perturbed(1.25)
    assert (faster.id, faster.speaker, faster.factor) == ("u0~1.25", "ann~1.25", 1.25)
    assert faster.seconds == pytest.approx(item.seconds / 1.25)

    def aligned(item: Utterance, n_frames: int) -> np.ndarray:
        return frame_alignment(item.durations, n_frames, item.unit, first_sample=item.first_sample, hop_samples=60,
                               latency_samples=0, rate_hz=24_000)  # fmt: skip

    before, after = aligned(item, 250), aligned(faster, 200)
    assert abs(np.argmax(before == 2) / 1.25 - np.argmax(after == 2)) <= 1
    assert abs(np.argmax(before == 1) / 1.25 - np.argmax(after == 1)) <= 1


def test_perturbed_speakers_have_several_utterances():
    items = [utterance(i, "ann") for i in range(4 * RUN_LENGTH)] + [
        utterance(i, f"mix{i // 2}") for i in range(100, 160)
    ]
    perturbed = perturb_speeds(items, FACTORS)
    assert [item.id.partition("~")[0] for item in perturbed] == [item.id for item in items]
    counts: dict[str, int] = {}
    for item in perturbed:
        counts[item.speaker] = counts.get(item.speaker, 0) + 1
    assert counts["ann~0.8"] == counts["ann~1.25"] == 2 * RUN_LENGTH
    assert {n for name, n in counts.items() if name.startswith("mix")} == {2}
    assert {item.factor for item in perturbed if item.speaker.startswith("mix")} == set(FACTORS)
