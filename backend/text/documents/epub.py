"""EPUB 2 and 3 reader: pages in reading order, split into chapters by the table of contents."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from html.entities import html5
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import unquote
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from backend.errors import BadDocument, BadText, LimitExceeded
from backend.text.documents.archive import Archive
from backend.text.documents.document import Chapter, Document, TextBlock, left_out_notes, plain_space
from backend.text.documents.page import decoded, read_page

CONTAINER, ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"
# Older books name their pages by types of their own, such as text/x-oeb1-document.
PAGE_TYPE = re.compile(r"html|oeb1?-document|dtbook")
OTHER_TYPE = re.compile(r"(?:image|audio|video|font)/|text/css|.*(?:ncx|font|javascript|svg)")
PAGE_SUFFIXES = (".html", ".htm", ".xhtml", ".xht", ".xml")
MAX_FALLBACKS = 8
MAX_CHAPTERS = 5000
MAX_JOINED_TITLE_CHARS = 300
AMPERSAND = re.compile(r"&(?:(#\d{1,7}|#x[0-9a-fA-F]{1,6}|\w{1,32});)?")
XML_DECLARATION = re.compile(r"\A<\?xml[^>]{0,200}\?>")
TYPE = "{http://www.idpf.org/2007/ops}type"


class _Item(NamedTuple):
    """A manifest item of the package."""

    path: str
    media_type: str
    properties: frozenset[str]
    fallback: str

    @property
    def is_page(self) -> bool:
        return bool(PAGE_TYPE.search(self.media_type)) or (
            self.path.lower().endswith(PAGE_SUFFIXES) and not OTHER_TYPE.match(self.media_type)
        )


class _Entry(NamedTuple):
    """An entry of the table of contents: title, target page and anchor."""

    title: str
    path: str
    anchor: str


class _Spine(NamedTuple):
    """Paths of the pages in reading order, and what of the spine is not read."""

    pages: list[str]
    skipped: list[str]


def read_epub(content: bytes) -> Document:
    """Read an EPUB file. Raises `BadDocument` for a damaged or encrypted one, `BadText` and `LimitExceeded`."""
    archive = Archive(content)
    package_path = _package_path(archive)
    package = _xml(archive, package_path)
    items: dict[str, _Item] = {}
    for node in _all(package, "item"):
        path = archive.found(_resolved(package_path, node.get("href", ""))[0])
        properties = frozenset(node.get("properties", "").split())
        items.setdefault(
            str(node.get("id")), _Item(path, node.get("media-type", "").lower(), properties, node.get("fallback", ""))
        )
    spine = _spine(package, items, archive)
    if not spine.pages:
        raise BadDocument("The EPUB lists no pages to read. Export it again." + _reasons(spine.skipped))
    _require_unlocked(archive, spine.pages)
    title, author = _metadata(package, "title"), _metadata(package, "creator")
    skipped = list(spine.skipped)
    contents = _contents(archive, package, items, skipped)
    chapters = _chapters(archive, spine.pages, contents, title, skipped)
    if not chapters:
        raise BadText(
            "The EPUB has no words: its pages are empty or hold only pictures. Recognize its text (OCR) first, or send "
            "another edition." + _reasons(skipped)
        )
    return Document(title, author, chapters, tuple(skipped))


def _package_path(archive: Archive) -> str:
    if CONTAINER not in archive.names:
        # Some tools leave the container out; there is one package file anyway.
        package = next((name for name in sorted(archive.names) if name.lower().endswith(".opf")), None)
        if package is not None:
            return package
    root = next((node for node in _all(_xml(archive, CONTAINER), "rootfile") if node.get("full-path")), None)
    if root is None:
        raise BadDocument("The EPUB container does not name a package file. Export it again.")
    return archive.found(unquote(str(root.get("full-path"))))


def _spine(package: Element, items: dict[str, _Item], archive: Archive) -> _Spine:
    pages: list[str] = []
    skipped: list[str] = []
    n_unlisted = 0
    for node in _all(package, "itemref"):
        item = items.get(node.get("idref", ""))
        if item is None:
            n_unlisted += 1
            continue
        for _ in range(MAX_FALLBACKS):
            if item.is_page or item.fallback not in items:
                break
            item = items[item.fallback]
        name = posixpath.basename(item.path)[:80]
        if "nav" in item.properties:
            skipped.append(f"The table of contents '{name}' is not read.")
        elif node.get("linear") == "no":
            skipped.append(f"'{name}' is outside of the reading order.")
        elif not item.is_page:
            skipped.append(f"'{name}' is not a text page ({item.media_type[:60] or 'no type'}).")
        elif item.path not in archive.names:
            skipped.append(f"The page '{name}' is missing in the file.")
        else:
            pages.append(item.path)
    if n_unlisted:
        skipped.append(f"{n_unlisted} entries of the reading order name no page.")
    return _Spine(list(dict.fromkeys(pages)), skipped)


def _reasons(skipped: list[str]) -> str:
    return f" ({' '.join(skipped[:3])})" if skipped else ""


def _chapters(
    archive: Archive, pages: list[str], contents: list[_Entry], title: str, skipped: list[str]
) -> tuple[Chapter, ...]:
    blocks: list[TextBlock] = []
    page_starts: dict[str, int] = {}
    places: dict[tuple[str, str], int] = {}
    note_targets: dict[str, set[str]] = {}
    left_out_counts: Counter[str] = Counter()
    for path in pages:
        name = posixpath.basename(path)
        try:
            content = archive.read(path)
        except BadDocument as error:
            skipped.append(f"The page '{name[:80]}' cannot be read: {error}")
            continue
        page = read_page(content, frozenset(note_targets.get(path, ())), name)
        for link in page.note_targets:
            target, anchor = _resolved(path, link)
            note_targets.setdefault(archive.found(target), set()).add(anchor)
        page_starts[path] = len(blocks)
        places |= {(path, anchor): len(blocks) + place for anchor, place in page.anchors.items()}
        blocks += page.blocks
        left_out_counts += page.left_out
    if not page_starts:
        raise BadDocument("No page of the EPUB can be read. Export it again." + _reasons(skipped))
    skipped += left_out_notes(left_out_counts)
    starts: dict[int, str] = {}
    n_lost = 0
    for entry in contents:
        path = archive.found(entry.path)
        place = places.get((path, entry.anchor)) if entry.anchor else page_starts.get(path)
        if place is None and path in page_starts and page_starts[path] not in starts:
            place = page_starts[path]
        if place is None:
            n_lost += 1
        elif starts.get(place, entry.title) != entry.title:
            # A part and its first chapter may start at the same block.
            starts[place] = f"{starts[place]}, {entry.title}"[:MAX_JOINED_TITLE_CHARS]
        else:
            starts[place] = entry.title
    if n_lost:
        skipped.append(
            f"{n_lost} entries of the table of contents point to no page; their texts are in other chapters."
        )
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


def _contents(archive: Archive, package: Element, items: dict[str, _Item], skipped: list[str]) -> list[_Entry]:
    """Return the table of contents of EPUB 3, else that of EPUB 2, else an empty list."""
    nav = next((item for item in items.values() if "nav" in item.properties), None)
    spine = next(iter(_all(package, "spine")), None)
    ncx = items.get(spine.get("toc", "") if spine is not None else "")
    if ncx is None:
        ncx = next((item for item in items.values() if "ncx" in item.media_type), None)
    entries: list[_Entry] = []
    n_damaged = 0
    for item, read in ((nav, _nav_entries), (ncx, _ncx_entries)):
        if item is None or entries:
            continue
        try:
            entries = read(item.path, _xml(archive, item.path))
        except BadDocument:
            n_damaged += 1
    if n_damaged and not entries:
        skipped.append("The table of contents is damaged or missing; every page is a chapter.")
    if len(entries) > MAX_CHAPTERS:
        raise LimitExceeded(f"The EPUB lists {len(entries)} chapters; the limit is {MAX_CHAPTERS}. Send it in parts.")
    return entries


def _nav_entries(path: str, root: Element) -> list[_Entry]:
    """Return the entries of an EPUB 3 navigation page, those inside other entries too."""
    navs = list(_all(root, "nav"))
    wanted = [node for node in navs if "toc" in (node.get(TYPE) or node.get("role") or "").replace("doc-", "").split()]
    return [
        _Entry(plain_space("".join(link.itertext())), *_resolved(path, link.get("href", "")))
        for node in (wanted or navs)[:1]
        for link in _all(node, "a")
        if link.get("href")
    ]


def _ncx_entries(path: str, root: Element) -> list[_Entry]:
    """Return the entries of an EPUB 2 table of contents."""
    entries = []
    for point in _all(root, "navPoint"):
        words = next((node for node in point if _name(node) == "navLabel"), None)
        target = next((node for node in point if _name(node) == "content"), None)
        if words is not None and target is not None:
            entries.append(_Entry(plain_space("".join(words.itertext())), *_resolved(path, target.get("src", ""))))
    return entries


def _require_unlocked(archive: Archive, pages: list[str]) -> None:
    if archive.found(ENCRYPTION) not in archive.names:
        return
    # Encrypted fonts are common and harmless; encrypted pages mean DRM.
    links = (node.get("URI", "") for node in _all(_xml(archive, archive.found(ENCRYPTION)), "CipherReference"))
    locked = {archive.found(posixpath.normpath(unquote(link))) for link in links}
    if locked.intersection(pages):
        raise BadDocument("The EPUB is encrypted (DRM), so its text cannot be read. Use one without DRM.")


def _xml(archive: Archive, path: str) -> Element:
    text = archive.read(path)
    try:
        try:
            return _parsed(text)
        except ParseError:
            return _parsed(_repaired(text))
    except (ParseError, ValueError, LookupError, DefusedXmlException) as error:
        raise BadDocument(
            f"'{path[:80]}' in the EPUB is not well-formed XML, or declares entities. Export it again."
        ) from error


def _parsed(content: bytes | str) -> Element:
    root: Element = fromstring(content, forbid_dtd=False, forbid_entities=True, forbid_external=True)
    return root


def _repaired(content: bytes) -> str:
    """Write HTML entities as characters and bare ampersands as entities, which XML requires."""
    text = XML_DECLARATION.sub("", decoded(content).lstrip())
    return AMPERSAND.sub(lambda match: _character(match[1]), text)


def _character(name: str | None) -> str:
    if name is None:
        return "&amp;"
    if name.startswith("#") or name in ("amp", "lt", "gt", "quot", "apos"):
        return f"&{name};"
    return html5.get(f"{name};", f"&amp;{name};")


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
