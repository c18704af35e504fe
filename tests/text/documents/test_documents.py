"""Plain text and Markdown readers, and splitting into sentences."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import BadDocument, BadText, LimitExceeded, PhonogramError
from backend.text.documents.document import Chapter, Document, TextBlock
from backend.text.documents.reader import kind_of, read_document
from backend.text.documents.sentences import CHAPTER_PAUSE_S, MAX_BYTES, chapter_titles, sentences_of

BOOK = b"""---
title: "The Whole"
author: Ann
---
# The Whole

## One

Some *marked* words with `code`, [a link](http://example.org) and [another][x].

```python
not_spoken()
```

![a picture](p.png)

***

| name | age |
|------|-----|
| Ben  | 9   |

## Two

- An item of a list
- Another one
<b>Bold</b> end.

[x]: http://example.org
"""


def texts(content, kind="auto"):
    return [sentence.text for sentence in sentences_of(read_document(content, kind))]


def test_markdown_chapters_start_at_repeated_headings():
    document = read_document(BOOK)
    assert (document.title, document.author) == ("The Whole", "Ann")
    assert chapter_titles(document) == ["One", "Two"]


def test_markdown_markup_is_removed():
    assert texts(BOOK) == [
        "The Whole.", "One.", "Some marked words with code, a link and another.", "name, age", "Ben, 9", "Two.",
        "An item of a list", "Another one\nBold end.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "titles"),
    [
        ("# One\n\na\n\n# Two\n\nb", ["One", "Two"]),
        ("a\n\n# One\n\nb\n\n# Two\n\nc", ["Chapter 1", "One", "Two"]),
        ("# Only\n\nwords", ["Only"]),
        ("no heading at all", ["Text"]),
        ("# A\n\n## a\n\nx\n\n## b\n\ny\n\n# B\n\nz", ["A", "B"]),
        ("Title\n=====\n\nx\n\nOne\n---\n\ny\n\nTwo\n---\n\nz", ["Title", "One", "Two"]),
    ],
)
def test_markdown_chapters(text, titles):
    assert chapter_titles(read_document(text.encode(), "markdown")) == titles


def test_plain_text_chapters_start_at_chapter_lines():
    text = b"CHAPTER I.\n\nIt was\ndark.\n\n* * *\n\nThen light came up.\n\nChapter Two: The End\n\nDone with it now."
    document = read_document(text)
    assert chapter_titles(document) == ["CHAPTER I", "Chapter Two: The End"]
    assert document.chapters[0].blocks[1:] == (
        TextBlock("It was\ndark."), TextBlock("", "break"), TextBlock("Then light came up.")
    )  # fmt: skip
    assert chapter_titles(read_document(b"The first chapter of my life began.\n\nIt went on.")) == ["Text"]


def test_pauses_follow_the_structure():
    text = b"# One\n\nThis is the first sentence. This is the second sentence.\n\nA paragraph of its own.\n\n# Two\n\nThe end."
    pauses = [sentence.pause_s for sentence in sentences_of(read_document(text))]
    assert pauses == [0.8, 0.2, 0.4, CHAPTER_PAUSE_S, 0.8, 0.0]


def test_document_type_is_detected_from_the_bytes():
    assert (kind_of(b"PK\x03\x04.."), kind_of(b"a\n# b"), kind_of(b"a # b")) == ("epub", "markdown", "text")


def test_utf_16_and_byte_order_marks_are_read():
    assert texts("Grüße, liebe Welt.".encode("utf-16")) == ["Grüße, liebe Welt."]
    assert texts(b"\xef\xbb\xbfHello there, world.") == ["Hello there, world."]


@pytest.mark.parametrize(
    ("content", "kind", "error"),
    [
        (b"\xff\xfa broken", "auto", BadDocument),
        (b"\x89PNG\0\0\0", "auto", BadDocument),
        (b"* * *\n\n...", "auto", BadText),
        (b"", "auto", BadText),
        (b"```\ncode\n```", "markdown", BadText),
        (b"hello", "epub", BadDocument),
        (b"hello", "pdf", BadDocument),
        (b"a" * 101, "text", LimitExceeded),
        ("é".encode() * 500, "text", LimitExceeded),
    ],
)
def test_unreadable_documents_are_rejected(content, kind, error):
    with pytest.raises(error):
        read_document(content, kind, max_chars=100)


WORDS = st.text(alphabet="ab \n.?!,\"'#*[]()1é漢—", max_size=600)


@given(WORDS, st.sampled_from(["text", "markdown"]))
@settings(max_examples=60, deadline=None, database=None, derandomize=True)
def test_any_text_is_read_or_rejected(text, kind):
    try:
        document = read_document(text.encode(), kind)
    except PhonogramError:
        return
    sentences = sentences_of(document)
    assert sentences and {sentence.chapter for sentence in sentences} == set(range(len(chapter_titles(document))))
    assert all(len(sentence.text.encode()) <= MAX_BYTES + 8 for sentence in sentences)


@given(st.lists(st.text(alphabet="ab. ,!", min_size=1, max_size=900), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None, database=None, derandomize=True)
def test_no_letter_is_lost_between_document_and_sentences(paragraphs):
    document = Document("", "", (Chapter("", tuple(map(TextBlock, paragraphs))),))
    spoken = "".join(sentence.text for sentence in sentences_of(document))
    letters = [c for paragraph in paragraphs for c in paragraph if c.isalnum()]
    assert [c for c in spoken if c.isalnum()] == letters


def test_short_sentences_are_merged():
    spoken = texts(b"Yes. No. He said that he would come tomorrow. And then we waited all day. Oh.")
    assert spoken == ["Yes. No. He said that he would come tomorrow.", "And then we waited all day. Oh."]
