"""HTML elements: which ones are blocks, which ones end others, and which ones are not read."""

from __future__ import annotations

import re
from dataclasses import dataclass

Attributes = dict[str, str]

HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
BLOCKS = HEADINGS | {
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "header", "html", "li", "main", "nav", "ol", "p", "pre",
    "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul",
}  # fmt: skip
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
# Elements whose end tags are often left out: the tags whose start ends them, and the elements that such a start
# does not reach beyond.
ENDED_BY = {"li": ("li",), "dt": ("dt", "dd"), "dd": ("dt", "dd"), "td": ("td", "th"), "th": ("td", "th"),
            "tr": ("td", "th", "tr"), "body": ("title", "head")}  # fmt: skip
REACH = {"li": {"ol", "ul", "table"}, "dt": {"dl"}, "dd": {"dl"}, "td": {"tr", "table"}, "th": {"tr", "table"},
         "tr": {"table"}, "p": BLOCKS - {"p"}, "head": set[str](), "title": set[str]()}  # fmt: skip

# Elements without text of the book, and elements that are left out and reported.
SILENT = {"head", "noscript", "rp", "rt", "rtc", "script", "style", "template", "title"}
REPORTED = {"audio": "media", "canvas": "media", "math": "formulas", "object": "media", "svg": "pictures",
            "video": "media"}  # fmt: skip
ROLES = {
    "notes": {"footnote", "footnotes", "endnote", "endnotes", "rearnote", "rearnotes", "note-body", "doc-footnote",
              "doc-endnote", "doc-endnotes", "doc-footnotes"},
    "note marks": {"noteref", "doc-noteref", "backlink", "doc-backlink", "referrer"},
    "page numbers": {"pagebreak", "doc-pagebreak", "page-list", "doc-pagelist"},
    "tables of contents": {"toc", "landmarks", "doc-toc"},
}  # fmt: skip
NOTE_CLASSES = {"footnote", "footnotes", "endnote", "endnotes", "rearnote", "fn-body", "fnote"}
NOTE_MARK_CLASSES = {"noteref", "fnref", "footnote-ref", "footnoteref", "fnanchor", "footnote-backref", "fnbackref",
                     "backlink", "note-ref", "endnote-ref", "footnote-reference"}  # fmt: skip
PAGE_CLASSES = {"pagenum", "pagebreak", "page-number", "pagenumber", "pageno"}
HIDING_STYLE = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.I)
NO_NUMBERS = re.compile(r"list-style(?:-type)?\s*:[^;]*\bnone\b", re.I)
DROP_CAP = re.compile(r"\bdrop[-_]?(?:cap|letter)|\binitial(?:-?letter)?\b|\blettrine\b", re.I)


def left_out(tag: str, given: Attributes) -> str:
    """Return the kind of an element that is not read, "" for one that is, and "silent" for one without text."""
    if tag in SILENT:
        return "silent"
    if is_hidden(given):
        return "hidden parts"
    roles = set(f"{given.get('epub:type', '')} {given.get('role', '')}".lower().split())
    if tag in ("html", "body"):
        return ""
    for kind, names in ROLES.items():
        if not names.isdisjoint(roles) and (kind != "tables of contents" or tag == "nav"):
            return kind
    classes = set(given.get("class", "").lower().split())
    if tag in ("a", "sup", "span") and not NOTE_MARK_CLASSES.isdisjoint(classes):
        return "note marks"
    if tag in BLOCKS and not NOTE_CLASSES.isdisjoint(classes):
        return "notes"
    if not PAGE_CLASSES.isdisjoint(classes):
        return "page numbers"
    return REPORTED.get(tag, "")


def is_hidden(given: Attributes) -> bool:
    """Whether a browser would not show the element or a screen reader would not read it."""
    return (
        "hidden" in given
        or given.get("aria-hidden", "").lower() == "true"
        or HIDING_STYLE.search(given.get("style", "")) is not None
    )


@dataclass(slots=True)
class ListCounter:
    """The numbers of a list; `kind` is "1", "a", "A", "i" or "I", or "" for a list without numbers."""

    kind: str
    next: int = 1
    step: int = 1

    def take(self, value: str) -> str:
        """Return the number before the next item, with a space. `value` overrides it."""
        if not self.kind:
            return ""
        if INTEGER.fullmatch(value.strip()):
            self.next = int(value)
        number = self.next
        self.next += self.step
        if self.kind in "aA" and 1 <= number <= 26:
            return f"{chr(ord(self.kind) + number - 1)}. "
        return f"{number}. "


INTEGER = re.compile(r"[+-]?\d{1,6}")


def list_counter(tag: str, given: Attributes) -> ListCounter:
    """Return the counter of an `ol` or `ul` element."""
    if tag != "ol" or NO_NUMBERS.search(given.get("style", "")):
        return ListCounter("")
    kind = given.get("type", "1")
    start = given.get("start", "").strip()
    return ListCounter(
        kind if kind in ("1", "a", "A", "i", "I") else "1",
        int(start) if INTEGER.fullmatch(start) else 1,
        -1 if "reversed" in given and start else 1,
    )
