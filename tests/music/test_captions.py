"""Labels and captions say what the score is, and nothing else."""

import json

from backend.music.captions import captions_of, labels_of
from backend.music.composer import CompositionRequest, compose
from backend.music.prompt import parse_prompt

PIECES = [compose(CompositionRequest(seed=seed, duration_s=15)) for seed in range(30)]


def test_labels_are_json_and_exact():
    for score in PIECES:
        labels = json.loads(json.dumps(labels_of(score)))
        assert labels["beat_s"] * labels["tempo_bpm"] == 60 or abs(labels["beat_s"] * labels["tempo_bpm"] - 60) < 1e-9
        assert labels["n_bars"] * score.meter.n_beats * labels["beat_s"] == labels["duration_s"] or (
            abs(labels["n_bars"] * score.meter.n_beats * labels["beat_s"] - labels["duration_s"]) < 1e-3
        )
        assert labels["instruments"] == list(dict.fromkeys(part.instrument for part in score.parts))
        assert labels["chords"][-1]["symbol"] == score.chords[-1].chord.symbol


def test_the_first_caption_says_everything_and_the_parser_reads_it_back():
    for score in PIECES:
        first = captions_of(score, score.seed)[0]
        parsed = parse_prompt(first)
        assert parsed.tempo_bpm == score.tempo_bpm, first
        assert parsed.key == score.key, first
        assert parsed.genre == score.genre, first
        assert set(parsed.instruments) == set(score.instruments), first
        assert parsed.meter == score.meter or score.meter.name in ("4/4", "2/4"), first
        assert parsed.not_understood == (), first


def test_captions_follow_their_seed_and_leave_fields_out():
    score = PIECES[0]
    assert captions_of(score, 5) == captions_of(score, 5) != captions_of(score, 6)
    texts = captions_of(score, 1, 200)
    said = sum(str(score.tempo_bpm) in text for text in texts)
    assert 100 < said < 180 and all(texts)


def test_any_tempo_of_a_score_file_has_a_word():
    from dataclasses import replace

    score = replace(compose(CompositionRequest(seed=1, duration_s=8)), tempo_bpm=900.0)
    assert captions_of(score, 1)
