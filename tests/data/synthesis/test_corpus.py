"""Corpus synthesis with a fake teacher."""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from backend.audio.files import read_audio
from backend.data.frame_alignment import DurationUnit
from backend.data.manifest import read_clips
from backend.data.splits import HeldOut
from backend.data.synthesis.corpus import CorpusConfig, given_lines, lines, synthesize
from backend.data.synthesis.teacher import TeacherSpeech, with_output
from backend.data.synthesis.text_filters import Excluded
from backend.data.utterances import read_utterances
from backend.errors import BadSettings

RATE_HZ = 24_000
TEXTS = tuple(
    f"Sentence number {word} of the list." for word in ["one", "two", "three", "four", "five", "six", "seven", "eight"]
)
SPEAKERS = ("ann", "bob", "eve", "max")


class BeepingTeacher:
    """Silence, a tone for each symbol, silence: four units each."""

    symbols = frozenset("abcdefghijklmnopqrstuvwxyz ")
    max_symbols = 100

    def __init__(self):
        self.spoken = []

    def speak(self, symbols, speaker, speed):
        self.spoken.append(speaker)
        durations = (4,) * (len(symbols) + 2)
        time_s = np.arange(len(durations) * 4 * 600) / RATE_HZ
        samples = 0.3 * np.sin(2 * np.pi * 300 * time_s)
        samples[: 4 * 600] = samples[-4 * 600 :] = 0
        unit = DurationUnit(600, RATE_HZ, 1150) if "~" not in speaker else DurationUnit(750, RATE_HZ, 1000)
        return TeacherSpeech(samples.astype(np.float32), RATE_HZ, durations, unit)


def plan(**changes):
    return CorpusConfig(**{"texts": TEXTS, "speakers": SPEAKERS, "template_share": 0.2} | changes)


def corpus_lines(count=300, excluded=(), heldout=(), **changes):
    return list(islice(lines(plan(**changes), Excluded(excluded), HeldOut(speakers=heldout)), count))


def make(folder, hours, teacher=None, **changes):
    requested = lines(plan(**changes), Excluded(), HeldOut())
    return synthesize(folder, requested, teacher or BeepingTeacher(), lambda line: line.text.lower(), hours=hours)


def test_seed_determines_the_lines():
    assert corpus_lines() == corpus_lines()
    assert corpus_lines() != corpus_lines(seed=1)
    assert corpus_lines()[:50] == corpus_lines(50)


def test_every_sentence_is_used_before_any_repeats():
    result = [line.text for line in corpus_lines(8, template_share=0, pair_share=0)]
    assert sorted(result) == sorted(TEXTS)


def test_excluded_sentences_and_held_out_speakers_are_absent():
    result = corpus_lines(500, excluded=[TEXTS[2]], heldout=("eve", "a*"), mix_share=0.5)
    assert not [line for line in result if "three" in line.text]
    used = {part.partition(":")[0] for line in result for part in line.speaker.split("+")}
    assert used == {"bob", "max"}


def test_shares_match_the_config():
    result = corpus_lines(2000, template_share=0.3, mix_share=0.4, pair_share=0.5)
    templates = [line for line in result if not line.text.startswith("Sentence")]
    assert len(templates) / 2000 == pytest.approx(0.3, abs=0.05)
    assert sum("+" in line.speaker for line in result) / 2000 == pytest.approx(0.4, abs=0.05)
    assert sum(line.text.count("Sentence") == 2 for line in result) / 1400 == pytest.approx(0.5, abs=0.06)
    assert all(0.9 <= line.speed <= 1.15 for line in result)


def test_pseudo_speakers_recur_and_extrapolate():
    result = corpus_lines(600, pseudo_share=0.8, n_pseudo=40)
    made = [line.speaker for line in result if "+" in line.speaker]
    assert len(made) / 600 == pytest.approx(0.8, abs=0.05)
    assert 30 <= len(set(made)) <= 40
    for speaker in set(made):
        weights = [float(part.partition(":")[2]) for part in speaker.split("+")]
        assert sum(weights) == pytest.approx(1.0, abs=0.011) and -0.3 <= min(weights) <= -0.1


def test_zero_pseudo_share_changes_no_random_draw():
    assert corpus_lines(200, mix_share=0.4, n_pseudo=40) == corpus_lines(200, mix_share=0.4, n_pseudo=0)


def test_given_sentences_keep_their_order():
    result = list(given_lines(TEXTS[:3], ["ann", "bob"], "e"))
    assert [(line.id, line.text, line.speaker, line.speed) for line in result] == [
        ("e000000", TEXTS[0], "ann", 1.0), ("e000001", TEXTS[1], "bob", 1.0), ("e000002", TEXTS[2], "ann", 1.0)
    ]  # fmt: skip


def test_missing_texts_or_speakers_are_rejected():
    with pytest.raises(BadSettings, match="0 of 4 speakers"):
        corpus_lines(1, heldout=("*",))
    with pytest.raises(BadSettings, match="0 of 0 texts"):
        corpus_lines(1, texts=())
    assert corpus_lines(3, texts=(), template_share=1.0)


def test_corpus_files_match_the_manifest(tmp_path):
    make(tmp_path, 0.01, shift_share=0.5)
    rows = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert sum(row["seconds"] for row in rows) >= 36
    assert len(read_clips(tmp_path)) == len(rows)
    for row, item in zip(rows, read_utterances(tmp_path / "manifest.jsonl"), strict=True):
        sound = read_audio(item.path)
        assert sound.duration_s == pytest.approx(row["seconds"], abs=0.002)
        assert item.symbols == row["symbols"] and set(item.symbols) <= BeepingTeacher.symbols
        # The silence of four units is cut to 80 ms before the first tone.
        assert item.first_sample == pytest.approx(2400 - 1920, abs=240)
        assert item.unit.unit_samples == (750 if "~" in item.speaker else 600)


def test_interrupted_run_resumes(tmp_path):
    make(tmp_path / "whole", 0.01)
    teacher = BeepingTeacher()
    make(tmp_path / "parts", 0.004, teacher)
    with (tmp_path / "parts/manifest.jsonl").open("a") as file:
        file.write('{"id": "u0000')
    make(tmp_path / "parts", 0.01, teacher)
    assert (tmp_path / "parts/manifest.jsonl").read_text() == (tmp_path / "whole/manifest.jsonl").read_text()
    assert len(teacher.spoken) == len(read_clips(tmp_path / "whole"))


def test_unsupported_lines_are_skipped_with_a_reason(tmp_path):
    requested = lines(plan(), Excluded(), HeldOut())
    result = synthesize(tmp_path, islice(requested, 3), BeepingTeacher(), lambda line: "你好", hours=1)
    assert len(result) == 3 and all(reason.startswith("0 symbols") for reason in result.values())
    assert not Path(tmp_path / "manifest.jsonl").exists()


def test_an_output_is_added_to_a_serialized_graph():
    # field 7 (graph) of 6 bytes: field 12 (output) of 4 bytes: field 1 (name) "xy"
    assert with_output(b"model", "xy") == b"model" + bytes([0x3A, 6, 0x62, 4, 0x0A, 2]) + b"xy"
