"""Line ends without punctuation become pauses; wrapped lines do not."""

import pytest

from backend.text.prepare import prepare_text
from backend.text.segmentation.line_ends import mark_line_ends
from backend.text.segmentation.sentences import split_sentences


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("The Long Road Home\nIt was raining.", "The Long Road Home,\nIt was raining."),
        ("Steven Hill\n\nFive riders drew rein.", "Steven Hill.\n\nFive riders drew rein."),
        ("- Kitchen light is on\n- Garage door is open", "- Kitchen light is on.\n- Garage door is open"),
        ("1. Milk\n2. Bread", "1. Milk.\n2. Bread"),
        ("To buy:\n* milk\n* bread\n\nThen home", "To buy:\n* milk.\n* bread.\n\nThen home"),
        ("Tiger, tiger, burning bright\nIn the forests of the night,", "Tiger, tiger, burning bright,\nIn the forests of the night,"),
        ("He said,\nand left.", "He said,\nand left."),
        ("A heading,\n\nA text.", "A heading.\n\nA text."),
        ('She said "no"\n\nHe left.', 'She said "no."\n\nHe left.'),
        ("One line of a paragraph that was wrapped by an editor\nand goes on here.",
         "One line of a paragraph that was wrapped by an editor\nand goes on here."),
        ("short\nand shorter", "short,\nand shorter"),
        ("no line end", "no line end"),
        ("ends with one\n", "ends with one\n"),
        ("\n\nstarts with two", "\n\nstarts with two"),
        ("---\n\nText", "---\n\nText"),
        ("a\r\nb", "a,\r\nb"),
    ],
)  # fmt: skip
def test_line_ends_become_marks(text, marked):
    assert mark_line_ends(text) == marked


@pytest.mark.parametrize("text", ["a\n" * 20_000, "\n" * 20_000, "word " * 5_000 + "\n" * 1_000, "a\n\n" * 10_000])
def test_long_texts_take_linear_time(text):
    assert mark_line_ends(text).count("\n") == text.count("\n")


def test_a_heading_and_its_text_are_sentences_of_their_own():
    assert len(split_sentences(mark_line_ends("Chapter One\n\nIt rained. She left."))) == 3


def test_the_built_in_voice_pauses_at_line_ends_and_others_read_the_text_as_it_is():
    assert prepare_text("Home\nIt rained", "phonogram").text.startswith("Home,")
    assert prepare_text("Home\nIt rained", "s1").text.startswith("Home\n")
