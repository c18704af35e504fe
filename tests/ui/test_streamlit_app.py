"""The Streamlit page against a fake backend."""

import sys

import pytest

pytest.importorskip("streamlit")

from streamlit.testing.v1 import AppTest

from backend.errors import NotAvailable
from backend.runtime.request import SpeechRequest
from tests.api.fake_engine import FakeEngine
from tests.api.served import served
from tests.repo.tree import ROOT
from tests.ui.fake_backend import fake_backend


def run_page(url, monkeypatch, name):
    monkeypatch.setattr(sys, "argv", ["streamlit_app.py", "--backend", url])
    page = AppTest.from_file(str(ROOT / "ui" / "streamlit_app.py"), default_timeout=30).run()
    if name != "Speak":
        page.sidebar.radio[0].set_value(name).run()
    assert not page.exception
    return page


def test_page_shows_the_backends_health(monkeypatch):
    with fake_backend() as (url, asked):
        page = run_page(url, monkeypatch, "System")
        assert "is up" in page.success[0].value
        assert "9.8.7" in page.table[0].value.to_string()
        page.button[0].click().run()
    assert [path for path, _ in asked].count("/health") == 2


def test_page_says_so_when_the_backend_is_away(monkeypatch):
    with fake_backend() as (url, _):
        pass
    page = run_page(url, monkeypatch, "System")
    assert "cannot be reached" in page.error[0].value


def test_page_speaks_with_the_settings_of_its_fields(monkeypatch):
    engine = FakeEngine()
    with served(engine) as url:
        page = run_page(url, monkeypatch, "Speak")
        assert "Ready to speak" in page.success[0].value
        assert page.selectbox[0].options == ["The model's own", "Hum"]
        page.text_area[0].input("Hello there.")
        page.text_input[0].input("9223372036854775807")
        page.selectbox[0].select("hum")
        page.number_input[0].set_value(0.5)
        page.button[0].click().run()
        assert not page.exception
    assert engine.asked == [
        SpeechRequest(text="Hello there.", voice="hum", seed=2**63 - 1, temperature=0.5, whole=True)
    ]
    assert "Spoken." in page.markdown[-1].value
    assert page.table[0].value.loc["value" if "value" in page.table[0].value.index else 0]["Seed"] == str(2**63 - 1)


def test_page_says_why_nothing_was_spoken(monkeypatch):
    engine = FakeEngine()
    with served(engine) as url:
        page = run_page(url, monkeypatch, "Speak")
        page.button[0].click().run()
        assert "Write a text first." in page.error[0].value
        page.text_area[0].input("x")
        page.text_input[0].input("seven")
        page.button[0].click().run()
        assert "seed is 'seven'" in page.error[0].value
    assert engine.asked == []


def test_page_says_that_there_is_nothing_to_speak_with(monkeypatch):
    engine = FakeEngine()
    engine.load_failure = NotAvailable("No checkpoint in checkpoints/.")
    with served(engine) as url:
        page = run_page(url, monkeypatch, "Speak")
    assert "No checkpoint in checkpoints/." in page.warning[0].value
