"""HTML page reader: text blocks, anchor positions, and what was left out."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import unquote

from backend.text.documents.document import TextBlock
from backend.text.documents.elements import (
    BLOCKS,
    DROP_CAP,
    ENDED_BY,
    HEADINGS,
    REACH,
    VOID,
    Attributes,
    ListCounter,
    left_out,
    list_counter,
)
from backend.text.documents.inline_text import InlineText

DECLARED = re.compile(rb"""(?:encoding|charset)\s*=\s*["']?([A-Za-z0-9._-]{2,40})""")
# Pages declare these subsets and contain the whole code page (as the WHATWG encoding standard has it).
SUPERSETS = {"iso-8859-1": "cp1252", "latin-1": "cp1252", "latin1": "cp1252", "us-ascii": "cp1252", "ascii": "cp1252",
             "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "iso-8859-9": "cp1254"}  # fmt: skip


# Elements that may hold a whole note; a target on another element makes its block a note.
NOTE_ELEMENTS = {"p", "li", "div", "aside", "dd", "dt", "td", "tr", "blockquote", "section"}
MAX_DEPTH = 500
CELL_END = re.compile(r"(?<=[\w)\"'”’%]) ?\ue004 ?(?=\S)")


@dataclass(slots=True)
class Page:
    """Blocks in order.

    `anchors` maps each id to the index of the block it is in or before, `levels` the index of a heading to its level.
    `left_out` counts what is not read, by kind; `note_targets` holds the links of
    its note marks to other pages.
    """

    blocks: list[TextBlock] = field(default_factory=list)
    anchors: dict[str, int] = field(default_factory=dict)
    levels: dict[int, int] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    note_targets: set[str] = field(default_factory=set)


def read_page(content: bytes, known_notes: frozenset[str] = frozenset(), name: str = "") -> Page:
    """Read the blocks of an HTML or XHTML page. Never fails on malformed markup.

    `known_notes`: anchors of this page that note marks of earlier pages refer to; `name`: its file name.
    """
    return read_markup(decoded(content), known_notes, name)


def read_markup(markup: str, known_notes: frozenset[str] = frozenset(), name: str = "") -> Page:
    """Read the blocks of HTML text, as `read_page` does."""
    reader = _PageReader(known_notes, name)
    reader.feed(markup)
    reader.close()
    reader.flush()
    return reader.page


def decoded(content: bytes) -> str:
    """Decode a page in its declared encoding, else UTF-8, else Windows-1252."""
    for mark, name in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if content.startswith(mark):
            return content.decode(name, "replace")
    for start, name in ((b"<\0", "utf-16-le"), (b"\0<", "utf-16-be")):
        if content.startswith(start):
            return content.decode(name, "replace")
    declared = DECLARED.search(content[:1024])
    name = declared[1].decode("ascii").lower() if declared else "utf-8"
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        # A page that says UTF-8 and is not was nearly always written on Windows.
        name = "cp1252" if name.startswith("utf") else SUPERSETS.get(name, name)
    try:
        return content.decode(name, "replace")
    except LookupError:
        return content.decode("cp1252", "replace")


class _Open(NamedTuple):
    """An open element: as what it is left out, where its text begins, and where it links to."""

    tag: str
    left_out: str = ""
    first: int = -1
    link: str = ""
    n_raised: int = -1
    is_drop_cap: bool = False


class _PageReader(HTMLParser):
    def __init__(self, known_notes: frozenset[str], page_name: str) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self._known_notes, self._page_name = set(known_notes), page_name
        self._text = InlineText()
        self._open: list[_Open] = []
        self._n_open: Counter[str] = Counter()
        self._n_silent = self._n_raised = 0
        self._lists: list[ListCounter] = []
        self._number = self._initial = ""
        self._is_note = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given: Attributes = {name: value or "" for name, value in attrs}
        self._start_block(tag)
        anchors = [given[name] for name in ("id", "name") if given.get(name)]
        for anchor in anchors:
            self.page.anchors.setdefault(anchor, len(self.page.blocks))
        if self._n_silent:
            self._push(_Open(tag))
            return
        kind = left_out(tag, given)
        if not self._known_notes.isdisjoint(anchors):
            if tag in NOTE_ELEMENTS:
                kind = kind or "notes"
            elif tag not in HEADINGS and self._text.is_empty():
                self._is_note = True
        if not kind:
            self._start(tag, given)
            return
        if kind == "formulas" and given.get("alttext", "").strip():
            self._text.add(f" {given['alttext']} ")
            kind = "silent"
        if kind == "note marks":
            self._add_target(given.get("href", ""))
        elif kind != "silent":
            self.page.left_out[kind] += 1
        self._push(_Open(tag, kind))

    def handle_endtag(self, tag: str) -> None:
        if tag in BLOCKS:
            self.flush()
        self._pop(tag)

    def handle_data(self, data: str) -> None:
        if not self._n_silent:
            self._text.add(data)

    def flush(self) -> None:
        """Finish the current block."""
        if self._n_silent:
            return
        text, n_pictures = self._text.finish()
        self.page.left_out["pictures"] += n_pictures
        if not text:
            return
        is_note, self._is_note = self._is_note, False
        text = CELL_END.sub(", ", text).replace("\ue004", " ").strip()
        if not text:
            return
        if is_note:
            self.page.left_out["notes"] += 1
            return
        text, self._number, self._initial = f"{self._number}{self._initial}{text}", "", ""
        level = self._level
        if any(one.is_drop_cap for one in self._open[-3:]) and len(text) == 1:
            self._initial = text
            return
        if level:
            self.page.levels[len(self.page.blocks)] = level
        self.page.blocks.append(TextBlock(text, "heading" if level else "paragraph"))

    @property
    def _level(self) -> int:
        """Level of the open heading, 0 outside of headings."""
        return next((level for level in range(6, 0, -1) if self._n_open[f"h{level}"]), 0)

    def _start_block(self, tag: str) -> None:
        for ended in ENDED_BY.get(tag, ()):
            self._end_implied(ended)
        if tag in BLOCKS or tag == "hr":
            self._end_implied("p")
            if self._level and not self._text.is_empty():
                self.flush()
                self._pop(f"h{self._level}")
            self.flush()

    def _start(self, tag: str, given: Attributes) -> None:
        """Start an element that is read."""
        is_drop_cap = DROP_CAP.search(given.get("class", "")) is not None
        if tag in ("ol", "ul"):
            self._lists.append(list_counter(tag, given))
        elif tag == "li" and self._lists:
            self._number = self._lists[-1].take(given.get("value", ""))
        elif tag == "hr":
            self.page.blocks.append(TextBlock("", "break"))
        elif tag == "br":
            self._text.line_end()
        elif tag == "img":
            is_decoration = given.get("role") in ("presentation", "none")
            self._text.picture("" if is_decoration else given.get("alt", ""))
        elif tag in ("td", "th"):
            self._text.add("\ue004")
        elif tag in ("sup", "sub"):
            self._n_raised += 1
        n_raised = self._n_raised - (self._n_open["sup"] > 0)
        link = given.get("href", "") if tag == "a" else ""
        self._push(_Open(tag, "", self._text.n_parts, link, n_raised, is_drop_cap))

    def _push(self, element: _Open) -> None:
        if element.tag not in VOID and len(self._open) < MAX_DEPTH:
            self._open.append(element)
            self._n_open[element.tag] += 1
            self._n_silent += bool(element.left_out)

    def _end_implied(self, tag: str) -> None:
        """End an open element whose end tag was left out."""
        if self._n_open[tag]:
            for element in reversed(self._open):
                if element.tag == tag:
                    # Cells of a row stay in one block.
                    if tag not in ("td", "th"):
                        self.flush()
                    self._pop(tag)
                    return
                if element.tag in REACH[tag]:
                    return

    def _pop(self, tag: str) -> None:
        """End the innermost open `tag` and everything inside it."""
        while self._n_open[tag]:
            element = self._open.pop()
            self._n_open[element.tag] -= 1
            self._n_silent -= bool(element.left_out)
            if not self._n_silent and not element.left_out:
                self._end(element)
            if element.tag == tag:
                return

    def _end(self, element: _Open) -> None:
        first = element.first
        if element.tag in ("ol", "ul") and self._lists:
            self._lists.pop()
            self._number = ""
        elif element.tag in ("sup", "sub") and first >= 0:
            self._text.raise_digits(first, element.tag == "sup")
        elif "#" in element.link:
            is_raised = self._n_raised > element.n_raised
            if self._text.is_note_mark(first, is_raised):
                self._text.cut(first)
                self._add_target(element.link)
        elif element.is_drop_cap and element.tag not in BLOCKS:
            self._text.join_drop_cap(first)

    def _add_target(self, link: str) -> None:
        path, _, anchor = link.partition("#")
        if not anchor:
            return
        if not path or path.rpartition("/")[2] == self._page_name:
            self._known_notes.add(unquote(anchor))
        else:
            self.page.note_targets.add(link)
