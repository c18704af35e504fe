"""The composer's laws, over many seeds: ranges, bars, chord tones, form, determinism, exact labels."""

from collections import Counter
from dataclasses import replace

import pytest

from backend.errors import BadRequest
from backend.music.composer import CompositionRequest, compose
from backend.music.instruments import INSTRUMENTS
from backend.music.styles import STYLES
from backend.music.theory import METERS, Key, Meter

SEEDS = range(60)
PIECES = [compose(CompositionRequest(seed=seed)) for seed in SEEDS]
# Profiles of Krumhansl and Kessler (1982): how well each pitch class fits a key.
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)


def pitched(score):
    return [part for part in score.parts if not INSTRUMENTS[part.instrument].is_drums]


def test_same_seed_same_piece_and_another_seed_another_piece():
    request = CompositionRequest(seed=7, duration_s=20)
    assert compose(request) == compose(request)
    assert compose(request) != compose(replace(request, seed=8))


def test_notes_are_in_the_range_of_their_instrument_and_inside_the_piece():
    for score in PIECES:
        for part in score.parts:
            player = INSTRUMENTS[part.instrument]
            assert part.notes
            for note in part.notes:
                assert player.low <= note.pitch <= player.high, (score.seed, part.instrument, note)
                assert note.start >= 0 and note.duration > 0 and note.end <= score.n_quarters + 1e-6
                assert 1 <= note.velocity <= 127


def test_notes_start_on_a_grid_of_sixteenths_or_triplets():
    for score in PIECES:
        for part in score.parts:
            for note in part.notes:
                assert min(abs(note.start * n - round(note.start * n)) for n in (4, 6)) < 1e-6, (score.seed, note)


def test_chords_fill_the_piece_without_gaps():
    for score in PIECES:
        ends = [0.0, *(span.end for span in score.chords)]
        assert [span.start for span in score.chords] == pytest.approx(ends[:-1])
        assert ends[-1] == pytest.approx(score.n_quarters)


def test_melody_has_chord_tones_on_nearly_all_strong_beats():
    hits = Counter()
    for score in PIECES:
        for part in score.parts:
            if part.role == "melody" and len(score.parts) > 1:
                for note in part.notes:
                    if any(
                        abs(note.start % score.meter.bar_quarters - one) < 1e-6 for one in score.meter.strong_quarters
                    ):
                        hits[note.pitch % 12 in score.chord_at(note.start).tones] += 1
    assert hits.total() > 1000
    assert hits[True] / hits.total() > 0.97


def test_the_bass_names_the_root_where_a_chord_begins():
    hits = Counter()
    for score in PIECES:
        onsets = {span.start: span.chord for span in score.chords}
        for part in score.parts:
            if part.role == "bass":
                for note in part.notes:
                    if note.start in onsets:
                        hits[note.pitch % 12 == onsets[note.start].root] += 1
    assert hits.total() > 500
    assert hits[True] / hits.total() > 0.97


def test_pieces_end_on_the_tonic_after_a_cadence():
    for score in PIECES:
        assert score.chords[-1].chord.root == score.key.tonic
        final = [note for part in pitched(score) for note in part.notes if note.end > score.n_quarters - 0.6]
        assert min(final, key=lambda note: note.pitch).pitch % 12 in score.chords[-1].chord.tones


def test_sections_with_one_letter_share_their_melody():
    n_found = 0
    for score in PIECES:
        melody = next((part for part in score.parts if part.role == "melody"), None)
        same = [section for section in score.sections if section.label == "A"]
        if melody is None or len(same) < 2 or len(score.parts) == 1:
            continue
        bar = score.meter.bar_quarters
        lines = []
        for section in same:
            start, end = section.first_bar * bar, (section.first_bar + section.n_bars - 1) * bar
            lines.append([(n.start - start, n.pitch) for n in melody.notes if start <= n.start < end])
        assert lines[0] == lines[-1], score.seed
        n_found += 1
    assert n_found > 10


def test_motifs_come_back_within_a_section():
    """Bars of the first theme repeat a rhythm far more often than bars drawn alone would."""
    repeats = Counter()
    for score in PIECES:
        bar = score.meter.bar_quarters
        melody = next((part for part in score.parts if part.role == "melody"), None)
        first = next((s for s in score.sections if s.label == "A" and s.n_bars >= 4), None)
        if melody and first and len(score.parts) > 1:
            rhythms = [
                tuple(n.start % bar for n in melody.notes if b * bar <= n.start < (b + 1) * bar)
                for b in range(first.first_bar, first.first_bar + 3)
            ]
            repeats[len(set(rhythms)) < 3] += 1
    assert repeats[True] / repeats.total() > 0.9


@pytest.mark.parametrize("genre", STYLES)
def test_every_genre_composes_in_every_meter(genre):
    for meter in METERS:
        score = compose(CompositionRequest(seed=3, genre=genre, meter=meter, duration_s=15))
        assert score.genre == genre and score.meter == meter
        assert 1 <= len(score.parts) <= 5


def test_what_is_asked_for_is_what_the_labels_say():
    score = compose(
        CompositionRequest(
            seed=1, tempo_bpm=96, key=Key.parse("F# minor"), meter=Meter(3, 4), genre="jazz", mood="sad",
            instruments=("saxophone", "piano"), duration_s=40,
        )
    )  # fmt: skip
    assert (score.tempo_bpm, score.key.name, score.meter.name, score.genre, score.mood) == (
        96,
        "F# minor",
        "3/4",
        "jazz",
        "sad",
    )
    assert {"saxophone", "piano"} <= set(score.instruments)
    assert score.parts[0] == next(part for part in score.parts if part.instrument == "saxophone")


def test_excluded_instruments_do_not_play():
    for seed in range(20):
        score = compose(CompositionRequest(seed=seed, genre="rock", without=("drums", "bass")))
        assert not {INSTRUMENTS[name].family for name in score.instruments} & {"drums", "bass"}


@pytest.mark.parametrize("duration_s", [4.0, 11.0, 30.0, 95.0, 300.0])
def test_length_is_close_to_what_was_asked_for(duration_s):
    for seed in range(5):
        score = compose(CompositionRequest(seed=seed, duration_s=duration_s))
        bar_s = score.meter.n_beats * 60 / score.tempo_bpm
        assert score.n_bars == 2 or duration_s - 0.9 - 0.7 * bar_s <= score.duration_s <= duration_s + 0.3 * bar_s


def test_the_key_is_heard_in_the_notes():
    """Durations of pitch classes point to the labelled key: an estimate that knows nothing of the composer."""
    hits = Counter()
    for seed in range(120):
        score = compose(CompositionRequest(seed=seed))
        if score.key.mode not in ("major", "minor"):
            continue
        weights = [0.0] * 12
        for part in pitched(score):
            for note in part.notes:
                weights[note.pitch % 12] += note.duration
        hits[estimated_key(weights) == (score.key.tonic, score.key.mode)] += 1
    assert hits.total() > 60
    assert hits[True] / hits.total() > 0.8


def estimated_key(weights):
    def fit(tonic, profile):
        turned = [weights[(tonic + i) % 12] for i in range(12)]
        mean_w, mean_p = sum(turned) / 12, sum(profile) / 12
        dot = sum((w - mean_w) * (p - mean_p) for w, p in zip(turned, profile, strict=True))
        return dot / (sum((w - mean_w) ** 2 for w in turned) * sum((p - mean_p) ** 2 for p in profile)) ** 0.5

    return max(
        ((t, m) for t in range(12) for m in ("major", "minor")),
        key=lambda k: fit(k[0], MAJOR if k[1] == "major" else MINOR),
    )


@pytest.mark.parametrize(
    "wrong",
    [{"tempo_bpm": 59}, {"tempo_bpm": 181}, {"duration_s": 1}, {"genre": "polka-core"}, {"mood": "beige"},
     {"instruments": ("theremin",)}, {"n_parts": 6}, {"swing": 2}],
)  # fmt: skip
def test_requests_out_of_bounds_are_rejected_by_name(wrong):
    with pytest.raises(BadRequest, match=r"expected"):
        CompositionRequest(**wrong)
