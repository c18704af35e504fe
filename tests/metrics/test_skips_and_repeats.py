"""Skips and loops in transcripts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.metrics.skips_and_repeats import alignment, word_runs
from backend.metrics.wer import edit_distance

REFERENCE = "the small cat sat on the wide mat today"


@pytest.mark.parametrize(
    ("transcript", "skips", "loops"),
    [
        (REFERENCE, 0, 0),
        ("The small cat, sat on the wide mat: today!", 0, 0),
        ("the small cat today", 1, 0),
        ("the small cat sat on the wide mat", 0, 0),
        ("the small cat sat sat on on the wide mat today", 0, 0),
        ("the small cat sat the small cat sat on the wide mat today", 0, 1),
        ("wide mat today", 1, 0),
        ("", 1, 0),
        ("a tiny dog sat on the wide mat today", 0, 0),
    ],
)
def test_three_words_in_a_row_make_a_run(transcript, skips, loops):
    assert word_runs(REFERENCE, transcript) == (skips, loops)


words = st.lists(st.sampled_from("abc"), max_size=7)


@given(words, words)
def test_alignment_is_minimal(reference, other):
    edits = alignment(reference, other)
    assert len(edits) - edits.count("=") == edit_distance(reference, other)
    assert len(edits) - edits.count("I") == len(reference)
    assert len(edits) - edits.count("D") == len(other)
