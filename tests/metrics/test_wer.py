import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import ScoreUnavailable
from backend.metrics.wer import character_error_rate, edit_distance, normalize, word_error_rate


@pytest.mark.parametrize(
    ("reference", "transcript", "n_edits", "n_words"),
    [
        ("The cat sat.", "the cat sat", 0, 3),
        ("the cat sat", "the bat sat", 1, 3),
        ("the cat sat", "the sat", 1, 3),
        ("the cat sat", "the fat cat sat", 1, 3),
        ("the cat sat", "", 3, 3),
        ("yes", "no it is not", 4, 1),
    ],
)
def test_edits_are_counted(reference, transcript, n_edits, n_words):
    rate = word_error_rate(reference, transcript)
    assert (rate.n_edits, rate.n_reference) == (n_edits, n_words)
    assert rate.rate == pytest.approx(n_edits / n_words)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("It’s Mr. Smith & Co!", "it's mister smith and co"),
        ("1,204 men, 42 dogs, 0 cats", "one thousand two hundred four men forty two dogs zero cats"),
        ("room 007, 19% off", "room zero zero seven nineteen percent off"),
        ("well-known", "well known"),
        ("Ünïcode — ﬁne", "ünïcode fine"),
    ],
)
def test_spelling_does_not_count_as_error(text, normal):
    assert normalize(text) == normal
    assert normalize(normal) == normal


def test_cer_ignores_word_boundaries():
    assert character_error_rate("mail box", "mailbox").n_edits == 0
    assert character_error_rate("cat", "cut").rate == pytest.approx(1 / 3)


def test_a_reference_without_words_has_no_rate():
    with pytest.raises(ScoreUnavailable, match="no words"):
        word_error_rate("...", "something")


words = st.lists(st.sampled_from("abc"), max_size=8)


@given(words, words, words)
def test_edit_distance_is_a_metric(a, b, c):
    assert edit_distance(a, a) == 0
    assert edit_distance(a, b) == edit_distance(b, a) >= abs(len(a) - len(b))
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
