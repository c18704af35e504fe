"""The Gradio page against a fake backend."""

from contextlib import contextmanager
from pathlib import Path

import pytest

gr = pytest.importorskip("gradio")
gradio_client = pytest.importorskip("gradio_client")

from backend.audio.files import read_audio  # noqa: E402
from backend.audio.pcm import to_int16  # noqa: E402
from backend.runtime.request import ReferenceClip, SpeechRequest  # noqa: E402
from tests.api.fake_engine import FakeEngine  # noqa: E402
from tests.api.served import served as served_backend  # noqa: E402
from tests.ui.fake_backend import fake_backend  # noqa: E402
from ui import labels  # noqa: E402
from ui.client import BackendClient  # noqa: E402
from ui.gradio_app import THEME, build_page  # noqa: E402


def served(url):
    page = build_page(BackendClient(url))
    _, address, _ = page.launch(
        server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, theme=THEME, inbrowser=False
    )
    return page, address


def test_page_shows_the_backends_health():
    with fake_backend() as (url, _):
        page, address = served(url)
        try:
            state, table = gradio_client.Client(address, verbose=False).predict(api_name="/health")
        finally:
            page.close()
    assert "is up" in state
    assert ["Version", "9.8.7"] in table["data"]


def test_page_says_so_when_the_backend_is_away():
    with fake_backend() as (url, _):
        pass
    page, address = served(url)
    try:
        state, table = gradio_client.Client(address, verbose=False).predict(api_name="/health")
    finally:
        page.close()
    assert "cannot be reached" in state
    assert not any(cell for row in table["data"] for cell in row)


@contextmanager
def speaking_page(engine):
    """A client of the page's own endpoints, with a real backend behind it."""
    with served_backend(engine) as url:
        page, address = served(url)
        try:
            yield gradio_client.Client(address, verbose=False)
        finally:
            page.close()


def fields(**changes):
    """The inputs of the tab, in their order."""
    given = {"text": "", "voice": "", "recording": None, "words": "", "seed": "", **dict.fromkeys(labels.NUMBERS)}
    given |= {"markup": "plain", "latency": "balanced", "format": "wav", "normalize": True}
    return list({**given, **changes}.values())


def test_page_speaks_with_the_settings_of_its_fields(tmp_path):
    engine = FakeEngine()
    (tmp_path / "clip.wav").write_bytes(b"RIFF")
    with speaking_page(engine) as page:
        said = fields(
            text="Hello there.", voice="hum", seed=str(2**63 - 1), temperature=0.5, top_k=7.0, normalize=False
        )
        state, sound, _, measures = page.predict(*said, api_name="/speak")
        assert state == "**Spoken.**"
        assert to_int16(read_audio(Path(sound)).samples).shape == (1, 12 * 160)
        assert ["Seed", str(2**63 - 1)] in measures["data"]
        clip = gradio_client.handle_file(str(tmp_path / "clip.wav"))
        page.predict(*fields(text="x", voice="hum", recording=clip, words="words"), api_name="/speak")
    assert engine.asked == [
        SpeechRequest(
            text="Hello there.", voice="hum", seed=2**63 - 1, temperature=0.5, top_k=7, normalize=False, whole=True
        ),
        SpeechRequest(text="x", references=(ReferenceClip(b"RIFF", "words"),), whole=True),
    ]


def test_page_says_why_nothing_was_spoken():
    engine = FakeEngine()
    with speaking_page(engine) as page:
        for changes, sentence in (
            ({}, "Write a text first."),
            ({"text": "x", "seed": "seven"}, "seed is 'seven'"),
            ({"text": "x", "temperature": 9}, "temperature is '9'"),
        ):
            state, sound, _, measures = page.predict(*fields(**changes), api_name="/speak")
            assert sentence in state and sound is None and not any(cell for row in measures["data"] for cell in row)
    assert engine.asked == []
