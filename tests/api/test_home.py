"""The landing page and the API reference."""

import re

from tests.support.served import asked_here

# Addresses that a page would load from, in HTML, CSS and JavaScript.
LOADED = re.compile(r"""(?:src|href)=["']([^"']+)|url\(([^)]+)\)|import [^;]*["'](https?:[^"']+)""")
FILES = ("/", "/docs", "/home.js", "/home.css", "/docs.js")


def test_pages_load_only_from_this_server_and_need_no_key():
    with asked_here(api_key="the-only-key-there-is") as http:
        for path in FILES:
            answer = http.get(path)
            assert answer.status_code == 200, path
            assert "script-src 'self'" in answer.headers["content-security-policy"]
            for found in LOADED.finditer(answer.text):
                address = next(filter(None, found.groups()))
                assert address.startswith("/") and not address.startswith("//"), (path, address)
        assert http.get("/redoc").status_code in (401, 404)


def test_landing_page_names_the_page_and_the_project():
    with asked_here(gradio_port=7999, repository='https://example.org/"phonogram"') as http:
        text = http.get("/").text
    assert 'data-page-port="7999"' in text
    assert 'data-repository="https://example.org/&quot;phonogram&quot;"' in text
