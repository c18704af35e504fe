"""Read a document from bytes, by file type."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Literal

from backend.errors import BadDocument, BadText, LimitExceeded
from backend.text.documents.document import Document, plain_space
from backend.text.documents.epub import read_epub
from backend.text.documents.markdown import read_html, read_markdown
from backend.text.documents.page import decoded, read_markup
from backend.text.documents.plain import read_plain

DocumentKind = Literal["auto", "text", "markdown", "html", "epub"]
READERS: dict[str, Callable[[bytes], Document]] = {
    "text": lambda content: read_plain(_text(content)),
    "markdown": lambda content: read_markdown(_text(content)),
    "html": lambda content: _read_html(content),
    "epub": read_epub,
}
HTML_START = re.compile(rb"\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!doctype\s+html|<html[\s>])", re.I)
TITLE = re.compile(r"<title[^>]{0,200}>([^<]{1,300})</title", re.I)
ZIP = b"PK\x03\x04"
MARKDOWN_HEADING = re.compile(rb"^#{1,6} \S", re.M)
SUFFIXES: dict[str, DocumentKind] = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".epub": "epub",
    ".txt": "text",
    ".text": "text",
}


def read_document(content: bytes, kind: DocumentKind = "auto", max_chars: int = 4_000_000) -> Document:
    """Read a plain text, Markdown, HTML or EPUB file; `auto` detects the type from the bytes.

    Raises `BadDocument` for an unreadable file, `BadText` if it contains no words, and `LimitExceeded` beyond
    `max_chars` characters of text.
    """
    if kind == "auto":
        kind = kind_of(content)
    if kind not in READERS:
        raise BadDocument(f"The kind of document is {kind!r}; expected auto, {', '.join(READERS)}. Correct it.")
    # A character takes at most four bytes.
    if kind != "epub" and len(content) > 4 * max_chars:
        raise _too_long(len(content), max_chars)
    document = READERS[kind](content)
    if document.n_chars > max_chars:
        raise _too_long(document.n_chars, max_chars)
    if not any(character.isalnum() for chapter in document.chapters for b in chapter.blocks for character in b.text):
        raise BadText("The document contains no words. Send one with text.")
    return document


def kind_of(content: bytes) -> DocumentKind:
    """Detect the file type: a zip is an EPUB, a text with `#` headings is Markdown."""
    if content.startswith(ZIP):
        return "epub"
    if HTML_START.match(content.removeprefix(b"\xef\xbb\xbf")[:1024]):
        return "html"
    return "markdown" if MARKDOWN_HEADING.search(content[: 2**20]) else "text"


def _read_html(content: bytes) -> Document:
    if b"\0" in content[:4096] and not content.startswith((b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")):
        raise BadDocument("The file is not an HTML page. Send HTML, plain text, Markdown or EPUB.")
    markup = decoded(content)
    title = TITLE.search(markup[:65536])
    return read_html(read_markup(markup), plain_space(unescape(title[1])) if title else "")


def _text(content: bytes) -> str:
    if b"\0" in content[:4096] and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise BadDocument("The file is not a text file. Send plain text, Markdown or EPUB.")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return decoded(content)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadDocument(f"The text is not UTF-8 at byte {error.start}. Save it as UTF-8.") from error


def _too_long(n_chars: int, max_chars: int) -> LimitExceeded:
    return LimitExceeded(
        f"The document has {n_chars} characters; the limit is {max_chars} (MAX_BOOK_CHARS). Send it in parts."
    )
