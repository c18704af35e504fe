"""EPUB reader: chapters by the table of contents, and safety against hostile files."""

import pytest

from backend.errors import BadDocument, BadText, LimitExceeded
from backend.text.documents.archive import Archive
from backend.text.documents.reader import read_document
from backend.text.documents.sentences import chapter_titles, sentences_of
from tests.support.books import epub

PAGES = {
    "one.xhtml": "<h1>One</h1><p>First&nbsp;words,<br/>a <em>line</em> more.</p>",
    "two.xhtml": '<h1 id="a">Two</h1><p>Second.</p><h2 id="b">Three</h2><p>Third words.</p>',
}
CONTENTS = [("One", "one.xhtml"), ("Two", "two.xhtml#a"), ("Three", "two.xhtml#b")]


def spoken(content):
    return [sentence.text for sentence in sentences_of(read_document(content))]


@pytest.mark.parametrize("toc", ["nav", "ncx"])
def test_chapters_follow_the_table_of_contents_of_both_versions(toc):
    document = read_document(epub(PAGES, CONTENTS, toc=toc))
    assert (document.title, document.author) == ("A Book", "Ann Author")
    assert chapter_titles(document) == ["One", "Two", "Three"]
    assert [[block.text for block in chapter.blocks] for chapter in document.chapters] == [
        ["One", "First words,\na line more."], ["Two", "Second."], ["Three", "Third words."],
    ]  # fmt: skip


def test_without_contents_every_page_is_a_chapter():
    document = read_document(epub({**PAGES, "three.xhtml": "<p>No heading.</p>"}, toc=None))
    assert chapter_titles(document) == ["One", "Two", "Chapter 3"]


def test_pages_before_the_first_entry_are_a_chapter():
    document = read_document(epub({"front.xhtml": "<p>For Ben.</p>", **PAGES}, CONTENTS))
    assert chapter_titles(document) == ["A Book", "One", "Two", "Three"]


def test_two_entries_at_one_position_are_one_chapter():
    document = read_document(epub(PAGES, [("Part I", "one.xhtml"), ("One", "one.xhtml"), ("Two", "two.xhtml")]))
    assert chapter_titles(document) == ["Part I, One", "Two"]


def test_non_spoken_content_is_skipped():
    page = (
        '<p>Said<a epub:type="noteref" href="#n">1</a>.</p><script>no()</script><p>A <ruby>漢<rt>kan</rt></ruby>.</p>'
        '<aside epub:type="footnote" id="n"><p>A note.</p></aside><svg><text>drawn</text></svg><script src="x"/>'
        '<p>After it.<span epub:type="pagebreak">12</span></p>'
    )
    assert spoken(epub({"p.xhtml": page}, toc=None)) == ["Said.", "A 漢.", "After it."]


def test_malformed_page_is_read():
    assert spoken(epub({"p.xhtml": "<p>One <b>two<p>Three &unknown; <div>four"}, toc=None)) == [
        "One two", "Three &unknown;", "four"
    ]  # fmt: skip


def test_encrypted_book_is_rejected_and_encrypted_fonts_are_not():
    lock = (
        '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><EncryptedData '
        'xmlns="http://www.w3.org/2001/04/xmlenc#"><CipherData><CipherReference URI="OPS/{}"/></CipherData>'
        "</EncryptedData></encryption>"
    )
    with pytest.raises(BadDocument, match="encrypted"):
        read_document(epub(PAGES, extra={"META-INF/encryption.xml": lock.format("one.xhtml")}))
    assert read_document(epub(PAGES, extra={"META-INF/encryption.xml": lock.format("font.otf")}))


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&f;</x>'


@pytest.mark.parametrize("xml", [LAUGHS, OUTSIDE, "<x>", "", "<x/>", "\0"])
@pytest.mark.parametrize("name", ["META-INF/container.xml", "OPS/book.opf"])
def test_entities_and_broken_xml_are_rejected(name, xml):
    with pytest.raises(BadDocument):
        read_document(epub(PAGES, extra={name: xml}))


def test_entities_in_pages_are_characters():
    page = f"{LAUGHS}<p>Text &b; &#x41;.</p>"
    assert "ha" not in " ".join(spoken(epub({"p.xhtml": page}, toc=None)))


def test_zip_bomb_is_not_unpacked():
    content = epub({"p.xhtml": "<p>" + "a" * 5_000_000 + "</p>"}, toc=None)
    assert len(content) < 10_000
    with pytest.raises(LimitExceeded, match="unpacks to more than 1000000 bytes"):
        Archive(content, max_bytes=1_000_000).read("OPS/p.xhtml")


def test_unpack_limit_covers_all_files_together():
    archive = Archive(epub(PAGES), max_bytes=600)
    archive.read("OPS/one.xhtml")
    with pytest.raises(LimitExceeded):
        for _ in range(3):
            archive.read("OPS/one.xhtml")


def test_archive_with_too_many_files_is_rejected_before_listing():
    with pytest.raises(LimitExceeded, match="more than 20000 files"):
        Archive(b"PK\x03\x04" + b"PK\x01\x02" * 20_001)


@pytest.mark.parametrize("damage", [lambda c: c[:200], lambda c: c[: len(c) // 2], lambda c: b"PK\x03\x04"])
def test_truncated_file_is_rejected(damage):
    with pytest.raises(BadDocument):
        read_document(damage(epub(PAGES)))


def test_flipped_bytes_are_read_or_rejected():
    content = epub({"one.xhtml": PAGES["one.xhtml"]}, [("One", "one.xhtml")])
    for place in range(0, len(content), 23):
        flipped = bytearray(content)
        flipped[place] ^= 0x55
        try:
            read_document(bytes(flipped), "epub")
        except (BadDocument, BadText, LimitExceeded):
            continue


def test_links_outside_of_the_book_are_ignored():
    document = read_document(epub(PAGES, [("Out", "../../../etc/passwd"), ("One", "one.xhtml")]))
    assert chapter_titles(document) == ["One"]
