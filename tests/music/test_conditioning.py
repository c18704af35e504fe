"""Labels as ids and vectors."""

import numpy as np

from backend.music.conditioning import CONDITIONING_DIM, KEYS, SIDE_SIZES, clock, frame_ids, piece_vector
from backend.music.instruments import INSTRUMENTS

LABELS = {"tempo_bpm": 120, "meter": "3/4", "key": "A minor", "genre": "jazz", "mood": "sad", "instruments": ["piano"]}


def test_clock_returns_after_one_bar_and_one_beat():
    """At 120 beats a minute and 16 frames a second a beat has 8 frames and a bar of three beats has 24."""
    places = clock(LABELS, 0, 96, 16.0)
    assert places[:8, 1].tolist() == list(range(8))
    assert np.array_equal(places[:72], places[24:])
    assert not np.array_equal(places[:88, 0], places[8:, 0])


def test_compound_meter_counts_dotted_quarters():
    places = clock({"tempo_bpm": 60, "meter": "6/8"}, 0, 64, 8.0)
    assert np.array_equal(places[:48], places[16:])
    assert places[:16, 0].tolist() == list(range(16))


def test_meters_that_are_not_composed_in_have_a_clock():
    ids = frame_ids({"tempo_bpm": 60, "meter": "3/8"}, 0, 32, 8.0)
    assert not ids[:, 2].any() and np.array_equal(ids[:24, 5], ids[8:, 5])


def test_ids_continue_from_any_frame_and_stay_in_their_tables():
    whole = frame_ids(LABELS, 0, 50, 12.5)
    assert np.array_equal(whole[20:], frame_ids(LABELS, 20, 30, 12.5))
    assert (whole >= 0).all() and (whole < np.array(SIDE_SIZES)).all()
    extreme = frame_ids({"tempo_bpm": 900, "meter": "4/4"}, 0, 5, 12.5)
    assert (extreme < np.array(SIDE_SIZES)).all()
    assert whole[0, 1] == KEYS.index("A minor") + 1


def test_dropped_fields_are_zero_and_the_others_stay():
    ids, whole = frame_ids(LABELS, 0, 4, 12.5, ("key", "tempo_bpm")), frame_ids(LABELS, 0, 4, 12.5)
    assert not ids[:, :2].any() and np.array_equal(ids[:, 2:], whole[:, 2:])


def test_vector_holds_instruments_and_words():
    vector = piece_vector(LABELS, "sad jazz piano")
    names = list(INSTRUMENTS)
    assert vector.shape == (CONDITIONING_DIM,)
    assert vector[: len(names)].nonzero()[0].tolist() == [names.index("piano")]
    np.testing.assert_allclose(np.linalg.norm(vector[len(names) :]), 1, rtol=1e-6)
    assert not piece_vector(LABELS, "", ("instruments",)).any()
    assert not np.array_equal(vector, piece_vector(LABELS, "happy jazz piano"))
