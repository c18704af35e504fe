"""Played scores: swing by the book, small errors of timing, nothing lost."""

import pytest

from backend.music.composer import CompositionRequest, compose
from backend.music.performance import PerformanceOptions, perform, swung
from backend.music.score import Note, Part, Score
from backend.music.theory import Meter

STRICT = PerformanceOptions(humanize=0, legato=1.0)


def test_swing_delays_the_second_half_of_a_beat_up_to_a_triplet():
    assert swung(3.5, 1.0, 1.0) == pytest.approx(3 + 2 / 3)
    assert swung(3.5, 1.0, 0.5) == pytest.approx(3 + 0.5 + 1 / 12)
    for place in (0.0, 1.0, 7.0):
        assert swung(place, 1.0, 1.0) == pytest.approx(place, abs=1e-6)
    places = [swung(i / 16, 1.0, 1.0) for i in range(64)]
    assert places == sorted(places)


def test_a_strict_performance_of_straight_music_moves_nothing():
    score = compose(CompositionRequest(seed=5, genre="rock", duration_s=12))
    for part, written in zip(perform(score, STRICT).parts, score.parts, strict=True):
        starts = {(n.start, n.pitch) for n in written.notes}
        assert {(n.start, n.pitch) for n in part.notes} <= starts
        assert len(part.notes) >= 0.98 * len(written.notes)


def test_a_human_performance_stays_close_to_the_score_and_follows_its_seed():
    score = compose(CompositionRequest(seed=6, duration_s=12))
    first, again = perform(score), perform(score)
    assert first == again != perform(score, seed=99)
    for part, written in zip(first.parts, score.parts, strict=True):
        grid = sorted({swung(n.start, score.meter.beat_quarters, score.swing) for n in written.notes})
        for note in part.notes:
            off_s = min(abs(score.time_s(note.start) - score.time_s(place)) for place in grid)
            assert off_s < 0.12 and note.start >= 0 and note.duration > 0 and 1 <= note.velocity <= 127


def test_one_key_never_sounds_twice_at_once():
    for seed in range(6):
        for part in perform(compose(CompositionRequest(seed=seed, duration_s=12))).parts:
            ends: dict[int, float] = {}
            for note in part.notes:
                assert note.start >= ends.get(note.pitch, 0.0) - 1e-9
                ends[note.pitch] = note.end


def test_first_beats_are_louder_than_what_follows():
    notes = tuple(Note(i * 0.5, 0.5, 60 + i % 5, 80) for i in range(64))
    (part,) = perform(Score(100, Meter(4, 4), None, (Part("piano", "melody", notes),), 8), STRICT).parts
    by_place = [sum(n.velocity for n in part.notes if n.start % 4 == place) for place in (0, 0.5, 2, 3)]
    assert by_place[0] > by_place[2] > by_place[3] > by_place[1]
