"""EPUB 2 and 3 reader: pages in reading order, split into chapters by the table of contents."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import unquote
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from backend.errors import BadDocument, LimitExceeded
from backend.text.documents.archive import Archive
from backend.text.documents.document import Chapter, Document, TextBlock, plain_space
from backend.text.documents.page import read_page

CONTAINER, ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"
PAGE_TYPES = {"application/xhtml+xml", "text/html", "application/x-dtbook+xml"}
MAX_CHAPTERS = 5000
TYPE = "{http://www.idpf.org/2007/ops}type"


class _Item(NamedTuple):
    """A manifest item of the package."""

    path: str
    media_type: str
    properties: frozenset[str]


class _Entry(NamedTuple):
    """An entry of the table of contents: title, target page and anchor."""

    title: str
    path: str
    anchor: str


def read_epub(content: bytes) -> Document:
    """Read an EPUB file. Raises `BadDocument` for a damaged or encrypted one, and `LimitExceeded`."""
    archive = Archive(content)
    root = next((node for node in _all(_xml(archive, CONTAINER), "rootfile") if node.get("full-path")), None)
    if root is None:
        raise BadDocument("The EPUB container does not name a package file. Export it again.")
    package_path = str(root.get("full-path"))
    package = _xml(archive, package_path)
    items = {
        str(node.get("id")): _Item(
            _resolved(package_path, node.get("href", ""))[0], node.get("media-type", ""),
            frozenset(node.get("properties", "").split()),
        )
        for node in _all(package, "item")
    }  # fmt: skip
    order = [
        items[node.get("idref", "")]
        for node in _all(package, "itemref")
        if node.get("idref") in items and node.get("linear") != "no"
    ]
    pages = [item.path for item in order if item.media_type in PAGE_TYPES and "nav" not in item.properties]
    if not pages:
        raise BadDocument("The EPUB lists no pages to read. Export it again.")
    _require_unlocked(archive, pages)
    title, author = _metadata(package, "title"), _metadata(package, "creator")
    return Document(title, author, _chapters(archive, pages, _contents(archive, package, items), title))


def _chapters(archive: Archive, pages: list[str], contents: list[_Entry], title: str) -> tuple[Chapter, ...]:
    blocks: list[TextBlock] = []
    page_starts: dict[str, int] = {}
    places: dict[tuple[str, str], int] = {}
    for path in pages:
        if path in page_starts:
            continue
        page = read_page(archive.read(path))
        page_starts[path] = len(blocks)
        places |= {(path, anchor): len(blocks) + place for anchor, place in page.anchors.items()}
        blocks += page.blocks
    starts: dict[int, str] = {}
    for entry in contents:
        place = places.get((entry.path, entry.anchor), page_starts.get(entry.path))
        if place is not None:
            # A part and its first chapter may start at the same block.
            starts[place] = f"{starts[place]}, {entry.title}" if place in starts else entry.title
    if not starts:
        starts = dict.fromkeys(page_starts.values(), "")
    if min(starts) > 0:
        starts[0] = title
    cuts = [*sorted(starts), len(blocks)]
    chapters = []
    for start, end in pairwise(cuts):
        part = tuple(blocks[start:end])
        if any(block.text for block in part):
            heading = next((block.text for block in part if block.kind == "heading"), "")
            chapters.append(Chapter(starts[start] or heading, part))
    return tuple(chapters)


def _contents(archive: Archive, package: Element, items: dict[str, _Item]) -> list[_Entry]:
    """Return the table of contents of EPUB 3, else that of EPUB 2, else an empty list."""
    nav = next((item for item in items.values() if "nav" in item.properties and item.path in archive.names), None)
    spine = next(iter(_all(package, "spine")), None)
    ncx = items.get(spine.get("toc", "") if spine is not None else "")
    entries: list[_Entry] = []
    if nav is not None:
        for node in _all(_xml(archive, nav.path), "nav"):
            if "toc" in (node.get(TYPE) or "").split():
                entries = [
                    _Entry(plain_space("".join(link.itertext())), *_resolved(nav.path, link.get("href", "")))
                    for link in _all(node, "a")
                ]
    if not entries and ncx is not None and ncx.path in archive.names:
        for point in _all(_xml(archive, ncx.path), "navPoint"):
            words = next((node for node in point if _name(node) == "navLabel"), None)
            target = next((node for node in point if _name(node) == "content"), None)
            if words is not None and target is not None:
                place = _resolved(ncx.path, target.get("src", ""))
                entries.append(_Entry(plain_space("".join(words.itertext())), *place))
    if len(entries) > MAX_CHAPTERS:
        raise LimitExceeded(f"The EPUB lists {len(entries)} chapters; the limit is {MAX_CHAPTERS}. Send it in parts.")
    return entries


def _require_unlocked(archive: Archive, pages: list[str]) -> None:
    if ENCRYPTION not in archive.names:
        return
    # Encrypted fonts are common and harmless; encrypted pages mean DRM.
    locked = {unquote(node.get("URI", "")) for node in _all(_xml(archive, ENCRYPTION), "CipherReference")}
    if locked.intersection(pages):
        raise BadDocument("The EPUB is encrypted (DRM), so its text cannot be read. Use one without DRM.")


def _xml(archive: Archive, path: str) -> Element:
    try:
        root = fromstring(archive.read(path), forbid_dtd=False, forbid_entities=True, forbid_external=True)
    except (ParseError, ValueError, LookupError, DefusedXmlException) as error:
        raise BadDocument(
            f"'{path[:80]}' in the EPUB is not well-formed XML, or declares entities. Export it again."
        ) from error
    return root


def _all(node: Element, name: str) -> Iterator[Element]:
    """Yield every element called `name` below `node`, in any namespace."""
    return (element for element in node.iter() if _name(element) == name)


def _name(node: Element) -> str:
    return node.tag.rpartition("}")[2] if isinstance(node.tag, str) else ""


def _metadata(package: Element, name: str) -> str:
    return next((plain_space(node.text) for node in _all(package, name) if node.text and node.text.strip()), "")


def _resolved(base: str, link: str) -> tuple[str, str]:
    """Resolve a link in file `base` to a path inside the archive and an anchor."""
    path, _, anchor = link.partition("#")
    whole = posixpath.normpath(posixpath.join(posixpath.dirname(base), unquote(path))) if path else base
    return whole, unquote(anchor)
