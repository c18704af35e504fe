"""Progressions and voice leading."""

import itertools
from random import Random

import pytest

from backend.music.harmony import FAMILIES, lead, phrase, spans, voicings
from backend.music.theory import MODES, Key, Meter

KEYS = [Key(tonic, mode) for tonic in (0, 6) for mode in MODES]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("key", KEYS, ids=lambda k: k.name)
def test_phrases_have_their_bars_and_closed_ones_end_on_the_tonic(family, key):
    for seed in range(8):
        for n_bars in (1, 2, 3, 4, 5):
            closed = phrase(family, key, n_bars, True, Random(seed))
            assert len(closed) == n_bars and closed[-1][-1].root == key.tonic
            assert len(phrase(family, key, n_bars, False, Random(seed))) == n_bars


def test_voices_move_little_and_stay_in_range():
    key, rng = Key(2, "major"), Random(1)
    chords = [chord for seed in range(20) for bar in phrase("pop", key, 4, seed % 2 == 1, rng) for chord in bar]
    led = lead(chords, 48, 69, 3, 57)
    for chord, notes in zip(chords, led, strict=True):
        assert {note % 12 for note in notes} == set(chord.tones) or len(chord.tones) > 3
        assert all(48 <= note <= 69 for note in notes)
    moves = [abs(a - b) for x, y in itertools.pairwise(led) for a, b in zip(x, y, strict=True)]
    assert sum(moves) / len(moves) < 2.2 and max(moves) <= 7


def test_voicings_name_the_third_and_keep_low_notes_apart():
    chord = Key(0, "major").chord("V7")
    for notes in voicings(chord, 40, 72, 4):
        assert chord.tones[1] in {note % 12 for note in notes}
        assert notes[0] >= 52 or notes[1] - notes[0] >= 4


def test_two_chords_divide_a_bar_at_a_beat():
    key = Key(0, "major")
    for meter in (Meter(4, 4), Meter(3, 4), Meter(6, 8), Meter(5, 4)):
        first, second = spans([[key.chord("ii"), key.chord("V")]], meter)
        assert first.end == second.start and second.end == meter.bar_quarters
        assert first.duration % meter.beat_quarters == 0
