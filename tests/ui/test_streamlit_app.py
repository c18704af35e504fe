"""The Streamlit pages against a backend with a fake engine, without a browser."""

import sys
from dataclasses import dataclass

import pytest

pytest.importorskip("streamlit")

from streamlit.testing.v1 import AppTest

from backend.errors import NotAvailable
from backend.runtime.request import SpeechRequest
from tests.support.fake_backend import fake_backend
from tests.support.fake_engine import FakeEngine
from tests.support.repository import ROOT
from tests.support.served import served
from tests.support.streamlit_page import field, press
from ui import labels


@dataclass
class Status:
    notes: list
    caches: dict
    family: str = "fake"


PAGE = """
from ui.client import BackendClient
from ui.streamlit_pages import {name}
{name}.show(BackendClient({url!r}))
"""


def run_page(url, name):
    page = AppTest.from_string(PAGE.format(name=name, url=url), default_timeout=30).run()
    assert not page.exception
    return page


def test_app_opens_with_the_overview(monkeypatch):
    with served(FakeEngine()) as url:
        monkeypatch.setattr(sys, "argv", ["streamlit_app.py", "--backend", url])
        page = AppTest.from_file(str(ROOT / "ui" / "streamlit_app.py"), default_timeout=30).run()
    assert not page.exception
    assert [title.value for title in page.title] == ["Overview"]
    assert "Ready to speak" in page.success[0].value
    cards = {card.label: card.value for card in page.metric}
    assert cards["Requests"] == "–", "a value that is not reported is unknown, not zero"


@pytest.mark.parametrize("name", ["overview", "speak", "batch", "system"])
def test_page_reports_an_unreachable_backend(name):
    with served(FakeEngine()) as url:
        pass
    page = run_page(url, name)
    assert any("cannot be reached" in one.value for one in [*page.error, *page.warning])


@pytest.mark.parametrize("name", ["overview", "speak", "batch"])
def test_page_reports_a_missing_checkpoint(name):
    engine = FakeEngine()
    engine.load_failure = NotAvailable("No checkpoint in checkpoints/.")
    with served(engine) as url:
        page = run_page(url, name)
    assert "No checkpoint in checkpoints/." in page.warning[0].value


def test_system_shows_health():
    with fake_backend() as (url, asked):
        page = run_page(url, "system")
        assert "is running" in page.success[0].value
        assert "9.8.7" in page.table[0].value.to_string()
        press(page, "Refresh")
    assert [path for path, _ in asked].count("/health") == 2


def test_system_shows_the_reason_of_each_optimization_and_clears_caches():
    notes = [
        "on: threads (lm): two are faster [ms_with_1 1.3, ms_with_2 0.9]",
        "off: int8 (lm): measured slower",
        "free text",
    ]
    engine = FakeEngine()
    caches = {"codes": {"entries": 2, "max_entries": 9, "hits": 1, "misses": 3}}
    engine.status = lambda: Status(notes, caches)
    with served(engine) as url:
        page = run_page(url, "system")
        rows = page.table[1].value
        assert rows["Optimization"].tolist() == ["threads (language model)", "int8 (language model)", "free text"]
        assert rows["Reason"].tolist()[:2] == ["two are faster (ms with 1: 1.3, ms with 2: 0.9)", "measured slower"]
        assert "2 of 9" in page.table[2].value.to_string()
        press(page, "Clear caches")
    assert "2 of references" in page.success[-1].value


def test_speak_sends_the_settings_of_its_fields():
    engine = FakeEngine()
    with served(engine) as url:
        page = run_page(url, "speak")
        assert "Ready to speak" in page.success[0].value
        voice = field(page.selectbox, "Voice")
        assert voice.options == ["Default voice", "Hum"]
        voice.select("hum")
        field(page.text_area, "Text").input("Hello there.")
        field(page.text_input, labels.SEED).input("9223372036854775807")
        field(page.number_input, "Temperature").set_value(0.5)
        press(page, "Speak")
    asked = SpeechRequest(
        text="Hello there.", voice="hum", seed=2**63 - 1, temperature=0.5, markup="markup", whole=True
    )
    assert engine.asked == [asked]
    assert any("Speech generated." in one.value for one in page.markdown)
    assert field(page.metric, "Seed").value == str(2**63 - 1)


def test_download_in_another_format_is_the_same_speech():
    from ui.client import BackendClient
    from ui.speech import SpeechOutcome
    from ui.streamlit_pages.speak import StreamlitTake, _convert

    engine = FakeEngine()
    with served(engine) as url:
        take = StreamlitTake(
            SpeechOutcome("", b"", []), "Hello.", "hum", None, {"format": "wav", "seed": "", "temperature": 0.5}
        )
        sound = _convert(BackendClient(url), take, {"Seed": "12"}, "flac")
    assert sound.startswith(b"fLaC")
    assert engine.asked == [SpeechRequest(text="Hello.", voice="hum", seed=12, temperature=0.5, whole=True)]


def test_speak_shows_the_reason_of_a_failure():
    engine = FakeEngine()
    with served(engine) as url:
        page = run_page(url, "speak")
        press(page, "Speak")
        assert "Enter a text first." in page.error[0].value
        field(page.text_area, "Text").input("x")
        field(page.text_input, labels.SEED).input("seven")
        press(page, "Speak")
        assert "seed is 'seven'" in page.error[0].value
    assert engine.asked == []


def test_recording_is_used_only_with_consent():
    engine = FakeEngine()
    with served(engine) as url:
        page = run_page(url, "speak")
        field(page.text_area, "Text").input("Hello.")
        page.get("file_uploader")[0].set_value(("me.wav", b"RIFF", "audio/wav"))
        press(page, "Speak")
        assert "only with consent" in page.error[0].value
        assert engine.asked == []
        field(page.checkbox, labels.CONSENT).check()
        press(page, "Speak")
        field(page.text_input, labels.RECORDING_TEXT).input("What I say there.")
        press(page, "Speak")
        field(page.checkbox, labels.FIT_REFERENCE).uncheck()
        press(page, "Speak")
    first, adapted, plain = engine.asked
    assert first.references[0].audio == b"RIFF" and first.voice is None
    # Adaptation needs the transcript.
    assert (first.fit_reference, adapted.fit_reference, plain.fit_reference) == (False, True, False)


def test_batch_runs_a_file_and_shows_failures():
    engine = FakeEngine()
    with served(engine) as url:
        page = run_page(url, "batch")
        table = b"text,voice\nOne.,hum\nTwo.,nobody\n"
        page.get("file_uploader")[0].set_value(("texts.csv", table, "text/csv")).run()
        press(page, "Speak 2 of 2")
        assert "1 of 2 finished" in page.success[-1].value
        assert "1 of 2 failed" in page.error[0].value
        states = page.dataframe[0].value["Status"].tolist()
        assert states[0].endswith(" s") and "No voice 'nobody'" in states[1]
        engine.stored["nobody"] = engine.stored["hum"]
        press(page, "Speak 1 of 2")
        assert "2 of 2 finished" in page.success[-1].value
    assert [request.text for request in engine.asked].count("One.") == 1, "finished lines are not run again"


def test_batch_rejects_an_invalid_file():
    with served(FakeEngine()) as url:
        page = run_page(url, "batch")
        page.get("file_uploader")[0].set_value(("texts.csv", b"words\nhi\n", "text/csv")).run()
    assert "one must be named 'text'" in page.error[0].value
