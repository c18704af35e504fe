"""Markdown reader (CommonMark with tables): chapters by headings, without code, images and raw HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import normalizeReference
from markdown_it.token import Token

from backend.text.documents.document import Chapter, Document, TextBlock, plain_space

FRONT_MATTER = re.compile(r"\A---[ \t]*\n(?P<fields>(?:[^\n]{0,1000}\n){0,200}?)(?:---|\.\.\.)[ \t]*(?:\n|\Z)")
FIELD = re.compile(r"""^(title|author):[ \t]*["']?([^\n]{1,300}?)["']?[ \t]*$""", re.M | re.I)
REFERENCE = re.compile(r"^ {0,3}\[([^\[\]\n]{1,200})\]:[ \t]*\S[^\n]*$", re.M)
# Inline marks of longer paragraphs are not parsed: hostile input takes too long.
MAX_MARKED_CHARS = 5000


def read_markdown(text: str) -> Document:
    """Read a Markdown text; chapters start at the highest heading level that occurs more than once."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    front = FRONT_MATTER.match(text)
    fields = {name.lower(): value for name, value in FIELD.findall(front["fields"])} if front else {}
    leveled = _blocks(text[front.end() :] if front else text)
    levels = [level for level, _ in leveled if level]
    first = leveled[0] if leveled else (0, TextBlock(""))
    repeated = [level for level in sorted(set(levels)) if levels.count(level) > 1]
    chapter_level = repeated[0] if repeated else min(levels, default=0)
    # A single heading above the others is the document title.
    title = first[1].text if first[0] and first[0] < chapter_level else ""
    return Document(fields.get("title", title), fields.get("author", ""), tuple(_chapters(leveled, chapter_level)))


def _chapters(leveled: list[tuple[int, TextBlock]], chapter_level: int) -> Iterator[Chapter]:
    parts: list[list[TextBlock]] = [[]]
    titles = [""]
    for level, block in leveled:
        if level == chapter_level and level:
            if any(one.kind == "paragraph" for one in parts[-1]) or titles[-1]:
                parts.append([])
                titles.append("")
            # A heading without text below it joins the next chapter.
            titles[-1] = block.text
        parts[-1].append(block)
    for title, blocks in zip(titles, parts, strict=True):
        if any(block.text for block in blocks):
            yield Chapter(title or next((one.text for one in blocks if one.kind == "heading"), ""), tuple(blocks))


def _blocks(text: str) -> list[tuple[int, TextBlock]]:
    """Return blocks with their heading level, 0 for other text."""
    # The parser's own rule for link references takes quadratic time for consecutive ones.
    targets = {normalizeReference(name): {"href": "", "title": ""} for name in REFERENCE.findall(text)}
    marks = MarkdownIt("commonmark", {"html": True})
    parser = MarkdownIt("commonmark", {"html": True}).enable("table").disable(["inline", "reference"])
    leveled: list[tuple[int, TextBlock]] = []
    level, last_row = 0, 0
    for row, token in _with_rows(parser.parse(REFERENCE.sub("", text))):
        if token.type == "hr":
            leveled.append((0, TextBlock("", "break")))
        elif token.type == "heading_open":
            level = int(token.tag.removeprefix("h"))
        elif token.type == "inline":
            words = _words(token.content, marks, {"references": targets})
            if words and row and row == last_row:
                # The cells of one row form one sentence.
                leveled[-1] = (0, TextBlock(f"{leveled[-1][1].text}, {words}"))
            elif words:
                leveled.append((level, TextBlock(words, "heading" if level else "paragraph")))
                last_row = row
            level = 0
    return leveled


def _with_rows(tokens: Iterable[Token]) -> Iterator[tuple[int, Token]]:
    """Yield tokens with their table row number, 0 outside of tables."""
    n_rows, row = 0, 0
    for token in tokens:
        if token.type == "tr_open":
            n_rows += 1
            row = n_rows
        elif token.type == "tr_close":
            row = 0
        yield row, token


def _words(content: str, marks: MarkdownIt, known: dict[str, Any]) -> str:
    if len(content) > MAX_MARKED_CHARS:
        return plain_space(content)
    parts: list[str] = []
    for token in marks.parseInline(content, known)[0].children or []:
        if token.type in ("text", "code_inline", "text_special"):
            parts.append(token.content)
        elif token.type in ("softbreak", "hardbreak"):
            parts.append(" ")
    return plain_space("".join(parts))
