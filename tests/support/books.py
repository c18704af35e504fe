"""EPUB files made up for the tests."""

import io
import zipfile

CONTAINER = """<?xml version="1.0"?><container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="OPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"""
NCX_DOCTYPE = '<!DOCTYPE ncx PUBLIC "-//NISO//DTD ncx 2005-1//EN" "http://www.daisy.org/z3986/2005/ncx-2005-1.dtd">'
PAGE = """<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml"
xmlns:epub="http://www.idpf.org/2007/ops"><head><title>x</title><style>p {{}}</style></head><body>{}</body></html>"""


def epub(pages, contents=(), *, toc="nav", title="A Book", author="Ann Author", extra=None):
    """The bytes of an EPUB. `pages`: bodies by file name; `contents`: (title, link) of each chapter."""
    items = "".join(f'<item id="p{k}" href="{n}" media-type="application/xhtml+xml"/>' for k, n in enumerate(pages))
    spine = "".join(f'<itemref idref="p{k}"/>' for k in range(len(pages)))
    files = {"META-INF/container.xml": CONTAINER}
    if toc == "nav":
        items += '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
        links = "".join(f'<li><a href="{link}">{name}</a></li>' for name, link in contents)
        files["OPS/nav.xhtml"] = PAGE.format(f'<nav epub:type="toc"><ol>{links}</ol></nav>')
    if toc == "ncx":
        items += '<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>'
        points = "".join(
            f'<navPoint><navLabel><text>{name}</text></navLabel><content src="{link}"/></navPoint>'
            for name, link in contents
        )
        files["OPS/toc.ncx"] = (
            f'<?xml version="1.0"?>{NCX_DOCTYPE}'
            f'<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap>{points}</navMap></ncx>'
        )
    files["OPS/book.opf"] = (
        '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0">'
        f'<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title>'
        f"<dc:creator>{author}</dc:creator></metadata><manifest>{items}</manifest>"
        f'<spine toc="ncx">{spine}</spine></package>'
    )
    files |= {f"OPS/{name}": PAGE.format(body) for name, body in pages.items()} | (extra or {})
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()
