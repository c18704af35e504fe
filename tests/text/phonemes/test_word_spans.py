"""Spans of phoneme symbols per word."""

import pytest

from backend.text.phonemes.word_spans import word_spans
from backend.text.tokenizers.phoneme import PhonemeTokenizer

READINGS = {"$5": "five dollars", "12": "twelve", "10-15": "ten to fifteen"}


def read(text):
    """A phonemizer that spells numbers differently in a text and alone."""
    words = text.lower().split()
    bare = [(word.rstrip(".,!"), word[len(word.rstrip(".,!")) :]) for word in words]
    return " ".join(READINGS.get(word, word) + end for word, end in bare)


@pytest.fixture(scope="module")
def tokenizer():
    return PhonemeTokenizer(["^", "$", *"abcdefghijklmnopqrstuvwxyz .,!?'"], 8, phonemize=read)


def spoken_symbols(tokenizer, text):
    ids = tokenizer.encode(text)
    return [(s.word, tokenizer.decode(ids[s.start : s.end])) for s in word_spans(tokenizer, text)]


def test_words_map_to_their_symbols(tokenizer):
    assert spoken_symbols(tokenizer, "Hello there, world!") == [
        ("Hello", "hello"),
        ("there,", "there"),
        ("world!", "world"),
    ]


def test_word_with_several_groups_spans_all_of_them(tokenizer):
    assert spoken_symbols(tokenizer, "I paid $5 for 12.") == [
        ("I", "i"), ("paid", "paid"), ("$5", "five dollars"), ("for", "for"), ("12.", "twelve"),
    ]  # fmt: skip


def test_explicit_pronunciation_is_one_word(tokenizer):
    text = "say <|phoneme_start|>tea pot<|phoneme_end|> now"
    assert spoken_symbols(tokenizer, text) == [("say", "say"), ("tea pot", "tea pot"), ("now", "now")]


def test_punctuation_is_not_a_word(tokenizer):
    assert spoken_symbols(tokenizer, "Well ... yes !") == [("Well", "well"), ("yes", "yes")]
    assert word_spans(tokenizer, "... !") == []


def test_mismatched_groups_are_distributed(tokenizer):
    # In the text these are four groups; alone, each has two.
    odd = PhonemeTokenizer(tokenizer.symbols, 8, phonemize=lambda text: "a b c d" if " " in text.strip() else "x y z")
    assert [span.word for span in word_spans(odd, "one two")] == ["one", "two"]
    assert [(span.start, span.end) for span in word_spans(odd, "one two")] == [(0, 3), (4, 7)]
