"""Selection of texts for synthesis, and held-out texts."""

import json
import random
import struct
import zlib

import pytest

from backend.data.synthesis.austen import austen_sentences
from backend.data.synthesis.templates import template_sentence
from backend.data.synthesis.text_filters import Excluded, clean_sentence, read_excluded, split_sentences
from backend.data.synthesis.wordnet import wordnet_sentences
from backend.errors import BadSettings


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("the dog ran away", "The dog ran away."),
        ("_never_ did she   smile!", "Never did she smile!"),
        ("too short", None),
        ("one " * 31, None),
        ("some naïve words here", None),
        ("he said (quietly) no more", None),
        ('an "open quote stays open', None),
    ],
)
def test_sentences_are_cleaned_or_rejected(text, sentence):
    assert clean_sentence(text) == sentence


def test_titles_and_initials_do_not_end_a_sentence():
    text = 'Mr. Ray saw J. Poe. "Was it late?" he asked. It was.'
    assert split_sentences(text) == ["Mr. Ray saw J. Poe.", '"Was it late?" he asked.', "It was."]


def test_excluded_sentences_are_found_inside_others_ignoring_punctuation():
    excluded = Excluded(["The cat sat down.", "Go!"])
    assert excluded.covers("the CAT, sat: down")
    assert excluded.covers("I saw it. The cat sat down. Then it left.")
    assert not excluded.covers("The cat sat downstairs.")
    assert excluded.covers("Now go away.") and not excluded.covers("Gone away.")


def test_excluded_files_contain_texts_or_objects(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(["One two three.", {"text": "Four five six."}]))
    excluded = read_excluded([tmp_path / "a.json"])
    assert excluded.covers("one two three") and excluded.covers("four five six")
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(BadSettings, match="expected a JSON list"):
        read_excluded([tmp_path / "b.json"])


def test_wordnet_examples_are_read_from_glosses(tmp_path):
    (tmp_path / "data.verb").write_text(
        '  1 A notice that says "nothing of it is an example".\n'
        '00001740 29 v 01 run 0 001 @ 00001740 v 0000 | move fast; "the dog ran away"; "ran"; "we ran and ran"  \n'
        '00001741 29 v 01 go 0 001 @ 00001740 v 0000 | move; "the dog ran away"  \n'
    )
    assert wordnet_sentences(tmp_path) == ["The dog ran away.", "We ran and ran."]
    with pytest.raises(BadSettings, match="data.noun"):
        wordnet_sentences(tmp_path / "absent")


def novel(*lines):
    strings = b"".join(b"\x00\x04\x00\x09" + struct.pack(">i", len(line)) + line.encode() for line in lines)
    body = zlib.compress(b"X\n" + b"\0" * 20 + struct.pack(">i", len(lines)) + strings)
    return struct.pack(">i", 500) + body


def test_novels_are_read_except_the_held_out_one(tmp_path):
    (tmp_path / "Rdata.rdb").write_bytes(
        novel("A LONG WALK", "", "CHAPTER I", "", "Mrs. Hill had walked", "all day. She was tired.", "")
        + novel("SENSE AND SENSIBILITY", "", "This must never be read.", "")
        + novel("THE LAST ONE", "", "It was the end of it.", "")
    )
    assert austen_sentences(tmp_path) == ["Mrs. Hill had walked all day.", "She was tired.", "It was the end of it."]


def test_other_data_files_are_rejected(tmp_path):
    (tmp_path / "Rdata.rdb").write_bytes(b"\0\0\0\5hello world")
    with pytest.raises(BadSettings, match="not an R data file"):
        austen_sentences(tmp_path)
    with pytest.raises(BadSettings, match="janeaustenr"):
        austen_sentences(tmp_path / "absent")


def test_templates_fill_every_placeholder_and_vary():
    draw = random.Random(0)
    found = [template_sentence(draw) for _ in range(300)]
    assert not [text for text in found if "{" in text or "}" in text]
    assert len(set(found)) > 250
    assert any("11th" in text for text in found) and not any("11st" in text for text in found)
