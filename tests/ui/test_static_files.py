"""Static files of the page: lookup, compression and caching; and the head middleware."""

import gzip

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from ui.head_middleware import HeadMiddleware
from ui.static_files import CachedStaticFiles

SCRIPT = "export const word = 1;\n" * 100


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "page" / "deep").mkdir(parents=True)
    (tmp_path / "page" / "page.js").write_text(SCRIPT)
    (tmp_path / "page" / "deep" / "small.css").write_text("a {}")
    return tmp_path / "page"


@pytest.fixture
def http(folder):
    return TestClient(Starlette(routes=[Mount("/page", CachedStaticFiles(folder, has_hashed_names=False))]))


def test_file_is_compressed_for_clients_that_accept_gzip(http):
    with http.stream("GET", "/page/page.js", headers={"accept-encoding": "gzip, br"}) as compressed:
        sent = b"".join(compressed.iter_raw())
    assert gzip.decompress(sent).decode() == SCRIPT and len(sent) < len(SCRIPT) / 10
    assert compressed.headers["content-type"].startswith("text/javascript")
    plain = http.get("/page/page.js", headers={"accept-encoding": "identity"})
    assert plain.text == SCRIPT and "content-encoding" not in plain.headers
    assert "content-encoding" not in http.get("/page/deep/small.css").headers


def test_unchanged_file_gives_304(http, folder):
    first = http.get("/page/page.js")
    again = http.get("/page/page.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    (folder / "page.js").write_text("changed")
    assert http.get("/page/page.js", headers={"if-none-match": first.headers["etag"]}).text == "changed"


def test_hashed_names_are_immutable(folder):
    http = TestClient(Starlette(routes=[Mount("/assets", CachedStaticFiles(folder, has_hashed_names=True))]))
    assert "immutable" in http.get("/assets/page.js").headers["cache-control"]


@pytest.mark.parametrize("name", ["../secret.txt", "%2e%2e/secret.txt", "deep/../../secret.txt", "", "deep", "none.js"])
def test_other_paths_give_404(http, name):
    assert http.get(f"/page/{name}").status_code == 404
    assert http.post("/page/page.js").status_code == 405


def test_lines_are_inserted_into_the_head_of_the_front_page_only():
    app = Starlette(
        routes=[
            Route("/", lambda _: HTMLResponse("<html><head><title>T</title></head></html>"), methods=["GET"]),
            Route("/other", lambda _: PlainTextResponse("<head>")),
        ]
    )
    http = TestClient(HeadMiddleware(app, '<link rel="x">'))
    assert http.get("/").text == '<html><head><link rel="x"><title>T</title></head></html>'
    assert http.head("/").status_code == 200 and http.head("/").content == b""
    assert http.get("/other").text == "<head>"
