"""Books as they are found: damaged parts are skipped and reported; nothing is left out silently."""

import random

import pytest

from backend.errors import BadDocument, BadText, PhonogramError
from backend.text.documents.page import decoded, read_page
from backend.text.documents.reader import read_document
from backend.text.documents.sentences import chapter_titles, sentences_of
from tests.support.books import epub

PAGES = {"one.xhtml": "<h1>One</h1><p>First words here.</p>", "two.xhtml": "<h1>Two</h1><p>Second words here.</p>"}
CONTENTS = [("One", "one.xhtml"), ("Two", "two.xhtml")]


def blocks(markup):
    return [block.text for block in read_page(markup.encode()).blocks]


def opf(spine, items):
    return (
        '<package xmlns="http://www.idpf.org/2007/opf"><metadata/><manifest>'
        f"{items}</manifest><spine>{spine}</spine></package>"
    )


@pytest.mark.parametrize("name", ["Tom&nbsp;One", "Tom & One"])
def test_entities_and_bare_ampersands_in_the_contents_are_repaired(name):
    document = read_document(epub(PAGES, [(name, "one.xhtml"), ("Two", "two.xhtml")], toc="ncx"))
    assert chapter_titles(document)[0].replace("\u00a0", " ") in ("Tom One", "Tom & One")
    assert document.skipped == ()


def test_damaged_contents_are_no_contents_and_reported():
    document = read_document(epub(PAGES, CONTENTS, extra={"OPS/nav.xhtml": "<nav><ol><li>"}))
    assert chapter_titles(document) == ["One", "Two"]
    assert any("table of contents is damaged" in note for note in document.skipped)


def test_missing_page_is_skipped_and_reported():
    items = (
        '<item id="c" href="cover.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="o" href="one.xhtml" media-type="text/x-oeb1-document"/>'
    )
    spine = '<itemref idref="c"/><itemref idref="gone"/><itemref idref="o"/>'
    document = read_document(epub(PAGES, toc=None, extra={"OPS/book.opf": opf(spine, items)}))
    assert chapter_titles(document) == ["One"]
    assert "The page 'cover.xhtml' is missing in the file." in document.skipped
    assert any("name no page" in note for note in document.skipped)


def test_notes_and_their_marks_are_not_read():
    markup = (
        '<p>It had begun.<a href="#n1"><sup>1</sup></a> Nobody came.<sup>2</sup></p>'
        '<p id="n1"><a href="#r1">1</a> A note.</p><p>Said<a class="noteref" href="#n2">a</a> so.</p>'
        '<div id="n2">Other.</div><aside role="doc-footnote">Third.</aside><p>End <a href="#r">[4]</a>.</p>'
    )
    page = read_page(markup.encode())
    assert [block.text for block in page.blocks] == ["It had begun. Nobody came.", "Said so.", "End ."]
    assert page.left_out["notes"] == 3


def test_notes_on_a_later_page_are_not_read():
    pages = {
        "one.xhtml": '<p>First words.<a href="notes.xhtml#n1">[1]</a></p>',
        "notes.xhtml": '<h1>Notes</h1><p><a id="n1"></a>A note.</p><p>Not a note.</p>',
    }
    document = read_document(epub(pages, toc=None))
    assert [block.text for chapter in document.chapters for block in chapter.blocks] == [
        "First words.", "Notes", "Not a note.",
    ]  # fmt: skip
    assert "1 note was left out." in document.skipped


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<p>10<sup>6</sup> of H<sub>2</sub>O on the 20<sup>th</sup></p>", ["10⁶ of H₂O on the 20th"]),
        ("<p hidden>x<p>seen <span style='display: none'>no</span><b aria-hidden='true'>no</b>it</p>", ["seen it"]),
        ('<ol start="3"><li>three<li>four</ol><ol type="a"><li>x</ol>', ["3. three", "4. four", "a. x"]),
        ('<p><img alt="T"/>hen it went.</p>', ["Then it went."]),
        ('<p><span class="dropcap">W</span> hen he</p>', ["When he"]),
        ('<p><span class="dropcap">A</span> man</p>', ["A man"]),
        ('<div class="dropcap">O</div><p>nce upon</p>', ["Once upon"]),
        ("<p>One,<br/>two<br>three</p>", ["One,\ntwo\nthree"]),
        ("<table><tr><td>a<td>b<tr><td>c</table>", ["a, b", "c"]),
        ("<h1>Head<p>text</p><h2><div>Two</div></h2>", ["Head", "text", "Two"]),
        ('<p dir="rtl">\u200fשלום <bdo dir="rtl">עולם</bdo>\u200e</p>', ["שלום עולם"]),
        ('<p>Go to <a href="c.html#x">chapter 2</a> now</p>', ["Go to chapter 2 now"]),
        ('<p>So <math alttext="x plus y"><mi>x</mi></math> is</p>', ["So x plus y is"]),
    ],
)
def test_page_structures(markup, expected):
    assert blocks(markup) == expected


def test_pictures_and_hidden_parts_are_counted():
    page = read_page(b'<p><img src="a" alt="A map"></p><p>Words <svg><text>x</text></svg></p><p hidden>no</p>')
    assert +page.left_out == {"pictures": 2, "hidden parts": 1}


@pytest.mark.parametrize("encoding", ["cp1252", "iso-8859-1", "utf-16", "utf-16-le"])
def test_pages_in_other_encodings_are_read(encoding):
    markup = f'<?xml version="1.0" encoding="{encoding}"?><p>Café “été”</p>'.replace("“", '"').replace("”", '"')
    assert "Café" in decoded(markup.encode(encoding))
    assert "Café" in decoded('<meta charset="utf-8"><p>Café</p>'.encode("cp1252"))


def test_book_of_pictures_only_is_refused():
    with pytest.raises(BadText, match="only pictures"):
        read_document(epub({"p.xhtml": '<img src="1.png" alt="Page 1"/>'}, toc=None))


def test_book_without_any_page_is_refused():
    items = '<item id="o" href="gone.xhtml" media-type="application/xhtml+xml"/>'
    with pytest.raises(BadDocument, match="no pages"):
        read_document(epub({}, toc=None, extra={"OPS/book.opf": opf('<itemref idref="o"/>', items)}))


def test_markdown_keeps_numbers_lines_and_html_and_drops_notes():
    text = b"3. three\n4. four\n\n<p>raw<br>html</p>\n\nIt ended.[^1] Then  \nverse 10<sup>6</sup>\n\n[^1]: A note.\n"
    document = read_document(text, "markdown")
    assert [block.text for block in document.chapters[0].blocks] == [
        "3. three", "4. four", "raw\nhtml", "It ended. Then\nverse 10⁶",
    ]  # fmt: skip
    assert "1 note was left out." in document.skipped


def test_html_documents_are_detected_and_have_chapters():
    page = b"<!DOCTYPE html><title>A Book</title><h2>One</h2><p>First.</p><h2>Two</h2><p>Second.</p>"
    document = read_document(page)
    assert (document.title, chapter_titles(document)) == ("A Book", ["One", "Two"])


def test_wrapped_lines_are_joined_and_verse_is_not():
    wrapped = (
        b"The ship left the harbour in the morning, and the people of\nNewport stood on the quay to see it go, for it "
        b"was the last\nSaturday of the year."
    )
    verse = b"The long road home\nIs wet with rain"
    assert "\n" not in read_document(wrapped).chapters[0].blocks[0].text
    assert read_document(verse).chapters[0].blocks[0].text == "The long road home\nIs wet with rain"


def test_mutated_files_are_read_or_refused():
    sources = {
        "epub": epub(
            {**PAGES, "three.xhtml": '<ol start="2"><li>x</li></ol><p>y<sup>1</sup></p>'}, CONTENTS, toc="ncx"
        ),
        "markdown": b"# One\n\n3. a\n\n| a | b |\n|---|---|\n| c | d |\n\n[^1]: x\n\n<div hidden>x</div> y[^1]\n" * 3,
        "html": b'<html><h1>A</h1><p><a href="#n"><sup>1</sup></a> b<ol><li>c</ol><table><tr><td>d</table>' * 3,
    }
    choice = random.Random(7)
    for number in range(300):
        kind = list(sources)[number % 3]
        content = bytearray(sources[kind])
        for _ in range(choice.randint(1, 12)):
            place = choice.randrange(len(content))
            if choice.random() < 0.5:
                content[place] = choice.randrange(256)
            else:
                del content[place : place + choice.randint(1, 30)]
        try:
            document = read_document(bytes(content), kind)
        except PhonogramError:
            continue
        assert sentences_of(document)
