"""Plain text reader: paragraphs between empty lines, chapters at lines such as "Chapter 3"."""

from __future__ import annotations

import re

from backend.text.documents.document import Chapter, Document, TextBlock, lines_of, plain_space
from backend.text.segmentation.line_ends import LIST_ITEM, unwrapped

PARAGRAPH_END = re.compile(r"\n[^\S\n]*\n\s*")
NUMBER = r"(?:\d{1,4}|[IVXLC]{1,8}|[A-Za-z]{3,12}(?:-[A-Za-z]{3,12})?)"
CHAPTER = re.compile(
    rf"(?:chapter|part|book)\s+{NUMBER}(?:\s*[.:–—-][^\n]{{0,120}}|\.)?|(?:prologue|epilogue|preface|introduction)\.?",
    re.IGNORECASE,
)
# A list item is a block of its own.
ITEM_START = re.compile(rf"\n(?={LIST_ITEM.pattern})")
BREAK = re.compile(r"[\W_]{1,40}")


def read_plain(text: str) -> Document:
    """Read a plain text; it is one untitled chapter if it has no chapter lines."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    titles: list[str] = [""]
    parts: list[list[TextBlock]] = [[]]
    for paragraph in PARAGRAPH_END.split(text):
        lines = lines_of(unwrapped(paragraph.strip()))
        words = plain_space(lines)
        if not words:
            continue
        if len(words) <= 160 and CHAPTER.fullmatch(words):
            if parts[-1]:
                titles.append("")
                parts.append([])
            titles[-1] = words.rstrip(".")
            parts[-1].append(TextBlock(words, "heading"))
        elif BREAK.fullmatch(words):
            parts[-1].append(TextBlock("", "break"))
        else:
            parts[-1] += map(TextBlock, ITEM_START.split(lines))
    chapters = (Chapter(title, tuple(blocks)) for title, blocks in zip(titles, parts, strict=True))
    return Document("", "", tuple(one for one in chapters if any(block.text for block in one.blocks)))
