"""HTML page reader: text blocks and anchor positions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

from backend.text.documents.document import BlockKind, TextBlock, plain_space

HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
BLOCKS = HEADINGS | {
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "header", "html", "li", "main", "nav", "ol", "p", "pre",
    "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul",
}  # fmt: skip
SPACES = {"br", "td", "th", "wbr"}
# Not spoken. `rt` and `rp` are ruby annotations that repeat the base text.
SILENT = {"audio", "canvas", "head", "math", "noscript", "object", "rp", "rt", "script", "style", "svg", "template",
          "video"}  # fmt: skip
SILENT_ROLES = {"noteref", "footnote", "endnote", "pagebreak", "doc-noteref", "doc-footnote", "doc-endnote",
                "doc-pagebreak"}  # fmt: skip
DECLARED = re.compile(rb"""(?:encoding|charset)\s*=\s*["']?([A-Za-z0-9._-]{2,40})""")


@dataclass(slots=True)
class Page:
    """Blocks in order; `anchors` maps each id to the index of the block it is in or before."""

    blocks: list[TextBlock] = field(default_factory=list)
    anchors: dict[str, int] = field(default_factory=dict)


def read_page(content: bytes) -> Page:
    """Read the blocks of an HTML or XHTML page. Never fails on malformed markup."""
    reader = _PageReader()
    reader.feed(decoded(content))
    reader.close()
    reader.flush()
    return reader.page


def decoded(content: bytes) -> str:
    """Decode a page in its declared encoding, else UTF-8; invalid bytes become replacement characters."""
    for mark, name in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if content.startswith(mark):
            return content.decode(name, "replace")
    declared = DECLARED.search(content[:1024])
    try:
        return content.decode(declared[1].decode("ascii") if declared else "utf-8", "replace")
    except LookupError:
        return content.decode("utf-8", "replace")


class _PageReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self._text: list[str] = []
        self._kind: BlockKind = "paragraph"
        self._silent: tuple[str, int] | None = None  # the skipped element and its nesting depth

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._silent is not None:
            name, depth = self._silent
            self._silent = (name, depth + (tag == name))
            return
        given = dict(attrs)
        if tag in BLOCKS or tag == "hr":
            self.flush()
        for name in ("id", "name"):
            if given.get(name):
                self.page.anchors.setdefault(str(given[name]), len(self.page.blocks))
        roles = f"{given.get('epub:type') or ''} {given.get('role') or ''}".split()
        if tag in SILENT or not SILENT_ROLES.isdisjoint(roles):
            self._silent = (tag, 1)
        elif tag in HEADINGS:
            self._kind = "heading"
        elif tag == "hr":
            self.page.blocks.append(TextBlock("", "break"))
        elif tag in SPACES:
            self._text.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if self._silent is not None:
            name, depth = self._silent
            if tag == name:
                self._silent = (name, depth - 1) if depth > 1 else None
            return
        if tag in BLOCKS:
            self.flush()
        elif tag in SPACES:
            self._text.append(" ")

    def handle_data(self, data: str) -> None:
        if self._silent is None:
            self._text.append(data)

    def flush(self) -> None:
        """Finish the current block."""
        text = plain_space("".join(self._text))
        if text:
            self.page.blocks.append(TextBlock(text, self._kind))
        self._text, self._kind = [], "paragraph"
