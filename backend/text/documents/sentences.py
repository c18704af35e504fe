"""Split a document into sentences with pauses."""

from __future__ import annotations

from typing import NamedTuple

from backend.text.documents.document import BlockKind, Document, TextBlock
from backend.text.segmentation.sentences import split_sentences, split_to_length

# Models speak single words badly and need seconds for a page, so sentences have bounds.
MIN_CHARS = 24
MAX_BYTES = 400
# The built-in voices leave 0.27 s at the edges of a sentence and 0.47 s between two sentences of one segment.
SENTENCE_PAUSE_S = 0.2
# The same pause as between two SSML paragraphs; longer around headings and breaks.
BLOCK_PAUSE_S: dict[BlockKind, float] = {"paragraph": 0.4, "heading": 0.8, "break": 0.8}
CHAPTER_PAUSE_S = 1.5


class DocumentSentence(NamedTuple):
    """One sentence, or several short ones. `chapter` counts from 0."""

    chapter: int
    text: str
    pause_s: float


def sentences_of(document: Document) -> list[DocumentSentence]:
    """Return all sentences in order; the last one has no pause.

    Chapters without words are skipped; see `spoken_chapters`.
    """
    sentences: list[DocumentSentence] = []
    for number, chapter in enumerate(spoken_chapters(document)):
        spoken: list[DocumentSentence] = []
        for block in chapter:
            if not _has_words(block):
                if spoken:
                    spoken[-1] = spoken[-1]._replace(pause_s=max(spoken[-1].pause_s, BLOCK_PAUSE_S["break"]))
                continue
            pieces = [DocumentSentence(number, text, SENTENCE_PAUSE_S) for text in _pieces(_closed(block))]
            pieces[-1] = pieces[-1]._replace(pause_s=BLOCK_PAUSE_S[block.kind])
            spoken += pieces
        spoken[-1] = spoken[-1]._replace(pause_s=CHAPTER_PAUSE_S)
        sentences += spoken
    if sentences:
        sentences[-1] = sentences[-1]._replace(pause_s=0.0)
    return sentences


def spoken_chapters(document: Document) -> list[tuple[TextBlock, ...]]:
    """Return the blocks of every chapter that has words."""
    return [chapter.blocks for chapter in document.chapters if any(map(_has_words, chapter.blocks))]


def chapter_titles(document: Document) -> list[str]:
    """Return a title for each of `spoken_chapters`; "Chapter 3" if the document gives none."""
    spoken = [chapter for chapter in document.chapters if any(map(_has_words, chapter.blocks))]
    if len(spoken) == 1 and not spoken[0].title:
        return [document.title or "Text"]
    return [chapter.title or f"Chapter {number}" for number, chapter in enumerate(spoken, 1)]


def _closed(block: TextBlock) -> str:
    """Add a full stop to headings: without one, the voice does not lower its pitch at the end."""
    return block.text if block.kind != "heading" or not block.text[-1].isalnum() else f"{block.text}."


def _pieces(text: str) -> list[str]:
    """Split a paragraph into sentences; merge short ones and cut long ones at clauses."""
    pieces: list[str] = []
    for sentence in split_sentences(text):
        sentence = sentence.strip()
        is_short = pieces and (len(pieces[-1]) < MIN_CHARS or len(sentence) < MIN_CHARS)
        if is_short and len(f"{pieces[-1]} {sentence}".encode()) <= MAX_BYTES:
            pieces[-1] = f"{pieces[-1]} {sentence}"
        else:
            pieces += [cut.strip() for cut in split_to_length(sentence, MAX_BYTES)]
    # A cut may leave only punctuation; append it to the previous piece.
    spoken: list[str] = []
    for piece in pieces:
        if any(character.isalnum() for character in piece) or not spoken:
            spoken.append(piece)
        else:
            spoken[-1] = f"{spoken[-1]} {piece}"
    return spoken


def _has_words(block: TextBlock) -> bool:
    return any(character.isalnum() for character in block.text)
