"""Incremental sentence splitting."""

import random

import pytest

from backend.text.segmentation.incremental import MAX_SENTENCE_BYTES, SentenceBuffer

TEXTS = [
    "Dr. Smith paid $3.50 at 5 p.m. yesterday. He left! Did he? Yes... he did.",
    'She said "Stop." Then she went. (Nobody saw it.) The end',
    "One line\n\nAnother paragraph. e.g. this one. 第一句。第二句！Third.",
    "A pause [pause 2.5 s. ok] stays whole. <|phoneme_start|>a. B c.<|phoneme_end|> is one. No. 5 too.",
    "…  ! ? Words.",
]


def sentences_of(text, sizes):
    buffer, found, at = SentenceBuffer(), [], 0
    while at < len(text):
        size = next(sizes)
        found += buffer.push(text[at : at + size])
        at += size
    return found + buffer.flush()


@pytest.mark.parametrize("text", TEXTS)
def test_sentences_do_not_depend_on_the_chunking(text):
    whole = sentences_of(text, iter([len(text)]))
    assert sentences_of(text, iter([1] * len(text))) == whole
    for seed in range(20):
        noise = random.Random(seed)
        assert sentences_of(text, iter(lambda noise=noise: noise.randint(1, 9), 0)) == whole
    kept = "".join("".join(whole).split())
    assert [c for c in kept if c.isalnum()] == [c for c in text if c.isalnum()]


def test_sentence_is_returned_when_the_next_one_starts():
    buffer = SentenceBuffer()
    assert buffer.push("Hello there") == []
    assert buffer.push(". ") == [] and buffer.push("How") == ["Hello there."]
    assert buffer.flush() == ["How"] and buffer.flush() == []


def test_titles_numbers_and_abbreviations_do_not_end_sentences():
    buffer = SentenceBuffer()
    assert buffer.push("Dr. Smith has 3.5 kg, e.g. of tea. And") == ["Dr. Smith has 3.5 kg, e.g. of tea."]


def test_punctuation_alone_is_dropped():
    assert SentenceBuffer().push("... ! ? ") == []


def test_overlong_sentence_is_returned_in_parts():
    buffer = SentenceBuffer()
    parts = buffer.push("word " * 400)
    assert parts and all(len(part) <= MAX_SENTENCE_BYTES for part in parts) and len(buffer) <= MAX_SENTENCE_BYTES


def test_clear_discards_the_text():
    buffer = SentenceBuffer()
    buffer.push("Never mind")
    buffer.clear()
    assert buffer.flush() == []
