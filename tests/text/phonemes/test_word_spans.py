"""Words and the symbols they are read as."""

import pytest

from backend.text.phonemes.word_spans import word_spans
from backend.text.tokenizers.phoneme import PhonemeTokenizer

READINGS = {"$5": "five dollars", "12": "twelve", "10-15": "ten to fifteen"}


def read(text):
    """A reader that spells numbers, as one reads a whole text and a word alone."""
    words = text.lower().split()
    bare = [(word.rstrip(".,!"), word[len(word.rstrip(".,!")) :]) for word in words]
    return " ".join(READINGS.get(word, word) + end for word, end in bare)


@pytest.fixture(scope="module")
def tokenizer():
    return PhonemeTokenizer(["^", "$", *"abcdefghijklmnopqrstuvwxyz .,!?'"], 8, phonemize=read)


def heard(tokenizer, text):
    ids = tokenizer.encode(text)
    return [(s.word, tokenizer.decode(ids[s.start : s.end])) for s in word_spans(tokenizer, text)]


def test_each_word_has_its_own_symbols_without_punctuation(tokenizer):
    assert heard(tokenizer, "Hello there, world!") == [("Hello", "hello"), ("there,", "there"), ("world!", "world")]


def test_a_word_read_as_several_has_the_symbols_of_all(tokenizer):
    assert heard(tokenizer, "I paid $5 for 12.") == [
        ("I", "i"), ("paid", "paid"), ("$5", "five dollars"), ("for", "for"), ("12.", "twelve"),
    ]  # fmt: skip


def test_a_pronunciation_in_the_text_is_one_word(tokenizer):
    text = "say <|phoneme_start|>tea pot<|phoneme_end|> now"
    assert heard(tokenizer, text) == [("say", "say"), ("tea pot", "tea pot"), ("now", "now")]


def test_punctuation_alone_is_no_word(tokenizer):
    assert heard(tokenizer, "Well ... yes !") == [("Well", "well"), ("yes", "yes")]
    assert word_spans(tokenizer, "... !") == []


def test_readings_that_do_not_add_up_are_spread(tokenizer):
    # Read as a whole these are four words, each by itself two.
    odd = PhonemeTokenizer(tokenizer.symbols, 8, phonemize=lambda text: "a b c d" if " " in text.strip() else "x y z")
    assert [span.word for span in word_spans(odd, "one two")] == ["one", "two"]
    assert [(span.start, span.end) for span in word_spans(odd, "one two")] == [(0, 3), (4, 7)]
