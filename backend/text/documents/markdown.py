"""Markdown reader (CommonMark with tables): chapters by headings, without code and pictures."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import normalizeReference
from markdown_it.token import Token

from backend.text.documents.document import Chapter, Document, TextBlock, left_out_notes, lines_of
from backend.text.documents.elements import ListCounter
from backend.text.documents.page import Page, read_markup
from backend.text.segmentation.line_ends import unwrapped

FRONT_MATTER = re.compile(r"\A---[ \t]*\n(?P<fields>(?:[^\n]{0,1000}\n){0,200}?)(?:---|\.\.\.)[ \t]*(?:\n|\Z)")
FIELD = re.compile(r"""^(title|author):[ \t]*["']?([^\n]{1,300}?)["']?[ \t]*$""", re.M | re.I)
NOTE = re.compile(r"^ {0,3}\[\^[^\]\s]{1,60}\]:[^\n]*\n?(?:(?: {4}|\t)[^\n]+\n?)*", re.M)
NOTE_MARK = re.compile(r"\[\^[^\]\s]{1,60}\]")
REFERENCE = re.compile(r"^ {0,3}\[([^\[\]\n]{1,200})\]:[ \t]*\S[^\n]*$", re.M)
# Inline marks of longer paragraphs are not parsed: hostile input takes too long.
MAX_MARKED_CHARS = 5000


def read_markdown(text: str) -> Document:
    """Read a Markdown text; chapters start at the highest heading level that occurs more than once."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    front = FRONT_MATTER.match(text)
    fields = {name.lower(): value for name, value in FIELD.findall(front["fields"])} if front else {}
    left_out: Counter[str] = Counter()
    return chapters_by_headings(_blocks(text[front.end() :] if front else text, left_out), left_out, fields)


def chapters_by_headings(
    leveled: list[tuple[int, TextBlock]], left_out: Counter[str], fields: dict[str, str]
) -> Document:
    """Return the document of blocks with their heading level (0 for other text); `fields`: its title and author."""
    levels = [level for level, _ in leveled if level]
    first = leveled[0] if leveled else (0, TextBlock(""))
    repeated = [level for level in sorted(set(levels)) if levels.count(level) > 1]
    chapter_level = repeated[0] if repeated else min(levels, default=0)
    # A single heading above the others is the document title.
    title = first[1].text if first[0] and first[0] < chapter_level else ""
    return Document(
        fields.get("title", title), fields.get("author", ""), tuple(_chapters(leveled, chapter_level)),
        tuple(left_out_notes(left_out)),
    )  # fmt: skip


def read_html(page: Page, title: str) -> Document:
    """Return the document of an HTML page; chapters start as in `read_markdown`."""
    leveled = [(page.levels.get(place, 0), block) for place, block in enumerate(page.blocks)]
    return chapters_by_headings(leveled, page.left_out, {"title": title} if title else {})


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


def _blocks(text: str, left_out: Counter[str]) -> list[tuple[int, TextBlock]]:
    """Return blocks with their heading level, 0 for other text."""
    # The parser's own rule for link references takes quadratic time for consecutive ones.
    targets = {normalizeReference(name): {"href": "", "title": ""} for name in REFERENCE.findall(text)}
    text, n_notes = NOTE.subn("", text)
    left_out["notes"] += n_notes
    marks = MarkdownIt("commonmark", {"html": True})
    parser = MarkdownIt("commonmark", {"html": True}).enable("table").disable(["inline", "reference"])
    leveled: list[tuple[int, TextBlock]] = []
    level, last_row, number = 0, 0, ""
    lists: list[ListCounter] = []
    for row, token in _with_rows(parser.parse(REFERENCE.sub("", text))):
        if token.type == "hr":
            leveled.append((0, TextBlock("", "break")))
        elif token.type == "heading_open":
            level = int(token.tag.removeprefix("h"))
        elif token.type in ("ordered_list_open", "bullet_list_open"):
            lists.append(ListCounter("1" if token.tag == "ol" else "", int(token.attrGet("start") or 1)))
        elif token.type in ("ordered_list_close", "bullet_list_close"):
            lists.pop()
        elif token.type == "list_item_open":
            number = lists[-1].take("")
        elif token.type in ("fence", "code_block"):
            left_out["code blocks"] += 1
        elif token.type == "html_block":
            page = read_markup(token.content)
            left_out += page.left_out
            leveled += [(page.levels.get(place, 0), block) for place, block in enumerate(page.blocks)]
        elif token.type == "inline":
            words = _words(token.content, marks, {"references": targets}, left_out)
            if words and row and row == last_row:
                # The cells of one row form one sentence.
                leveled[-1] = (0, TextBlock(f"{leveled[-1][1].text}, {words}"))
            elif words:
                leveled.append((level, TextBlock(f"{number}{words}", "heading" if level else "paragraph")))
                last_row = row
            level, number = 0, ""
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


def _words(content: str, marks: MarkdownIt, known: dict[str, Any], left_out: Counter[str]) -> str:
    content = unwrapped(NOTE_MARK.sub("", content))
    if len(content) > MAX_MARKED_CHARS:
        return lines_of(content)
    # A line end that is not a wrapped line is a line of verse.
    html = marks.renderInline(content, known).replace("<br />\n", "<br>").replace("\n", "<br>")
    page = read_markup(html)
    left_out += page.left_out
    return "\n".join(block.text for block in page.blocks)
