from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.text.segmentation.fish_v15 import split_v15
from backend.text.segmentation.sentences import split_sentences, split_to_length

PARTS = st.lists(
    st.one_of(
        st.sampled_from([". ", "! ", "? ", "...", ", ", "。", "，", "\n\n", " ", "Dr. ", "3.14", "e.g. ", "(laughing) ",
                         "[short pause] ", "<|speaker:1|>", "<|phoneme_start|>HH AH0 L OW1<|phoneme_end|>", "\ud800"]),
        st.text(max_size=20),
    ), max_size=30,
).map("".join)  # fmt: skip


@given(text=PARTS, max_bytes=st.integers(1, 80))
@settings(max_examples=150, deadline=None)
def test_no_character_is_lost_or_moved(text, max_bytes):
    assert "".join(split_to_length(text, max_bytes)) == text
    assert "".join(split_sentences(text)) == text


@given(text=st.text(alphabet="ab ,;你é\n", max_size=120), max_bytes=st.integers(3, 60))
@settings(max_examples=150, deadline=None)
def test_pieces_of_plain_words_respect_the_limit(text, max_bytes):
    pieces = split_to_length(text, max_bytes)
    assert all(len(piece.rstrip().encode()) <= max_bytes for piece in pieces)
    # No two adjacent pieces would fit together.
    together = [a + b for a, b in pairwise(pieces)]
    assert all(len(both.rstrip().encode()) > max_bytes for both in together)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One. ", "Two! ", "Three? ", "Four"]),
        ("Dr. Smith met J. R. Jones. He left.", ["Dr. Smith met J. R. Jones. ", "He left."]),
        ("Pi is 3.14159. Version 1.2.3 is out.", ["Pi is 3.14159. ", "Version 1.2.3 is out."]),
        ("He said “Stop.” Then “Go!” Done.", ["He said “Stop.” ", "Then “Go!” ", "Done."]),
        ("Pears, etc. were sold. Pears, etc. Nobody came.",
         ["Pears, etc. were sold. ", "Pears, etc. ", "Nobody came."]),
        ("Wait... what? Yes…", ["Wait... ", "what? ", "Yes…"]),
        ("今天。明天！「好。」后天", ["今天。", "明天！", "「好。」", "后天"]),
        ("A title\n\nA text.", ["A title\n\n", "A text."]),
        ("Open Mon. to Fri., cats, a.k.a. pets, of 2 sq. ft. each.", ["Open Mon. to Fri., cats, a.k.a. pets, of 2 sq. ft. each."]),
        ("We met on Mon. He left.", ["We met on Mon. ", "He left."]),
        ("See example.com. Then e.g. this.", ["See example.com. ", "Then e.g. this."]),
    ],
)  # fmt: skip
def test_sentence_borders(text, sentences):
    assert split_sentences(text) == sentences


@pytest.mark.parametrize(
    "atom", ["<|phoneme_start|>HH AH0 L OW1<|phoneme_end|>", "(in a hurry tone)", "[short pause]", "1,250,000.75",
             "<|speaker:12|>", "www.example.com"],
)  # fmt: skip
def test_atomic_tokens_are_never_split(atom):
    for max_bytes in range(1, 40):
        assert any(atom in piece for piece in split_to_length(f"some words {atom} more words", max_bytes))


@pytest.mark.parametrize("unit", ["1", ".", "a.", "\n", "[a", "<|phoneme_start|>", '."', "A. ", "1.", " ", "https://"])
def test_no_text_takes_quadratic_time(unit):
    # 60,000 characters: linear time is about a tenth of a second, quadratic time minutes.
    text = unit * (60_000 // len(unit)) + "x"
    assert "".join(split_to_length(text, 200)) == text
    split_v15(text, 200)
