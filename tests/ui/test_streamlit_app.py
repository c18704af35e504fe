"""The Streamlit page against a fake backend."""

import sys

import pytest

pytest.importorskip("streamlit")

from streamlit.testing.v1 import AppTest

from tests.repo.tree import ROOT
from tests.ui.fake_backend import fake_backend


def run_page(url, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["streamlit_app.py", "--backend", url])
    page = AppTest.from_file(str(ROOT / "ui" / "streamlit_app.py"), default_timeout=30).run()
    assert not page.exception
    return page


def test_page_shows_the_backends_health(monkeypatch):
    with fake_backend() as (url, asked):
        page = run_page(url, monkeypatch)
        assert "is up" in page.success[0].value
        assert "9.8.7" in page.table[0].value.to_string()
        page.button[0].click().run()
    assert [path for path, _ in asked] == ["/health", "/health"]


def test_page_says_so_when_the_backend_is_away(monkeypatch):
    with fake_backend() as (url, _):
        pass
    page = run_page(url, monkeypatch)
    assert "cannot be reached" in page.error[0].value
