"""The Gradio page against a fake backend: layout, labels, scripts and its own endpoints."""

import json
import re
from contextlib import contextmanager

import httpx
import pytest

pytest.importorskip("gradio")
gradio_client = pytest.importorskip("gradio_client")

from backend.runtime.request import ReferenceClip  # noqa: E402
from tests.support.fake_engine import FakeEngine  # noqa: E402
from tests.support.gradio_page import paged  # noqa: E402
from tests.support.repository import ROOT  # noqa: E402
from tests.support.served import served  # noqa: E402
from ui import labels  # noqa: E402
from ui.client import BackendClient  # noqa: E402
from ui.gradio_app import TABS, build_page  # noqa: E402
from ui.gradio_theme import STATIC  # noqa: E402


@contextmanager
def page_client(engine):
    """Yield a client of the page's own endpoints, with a real backend behind it."""
    with served(engine) as backend, paged(backend) as url:
        yield gradio_client.Client(url, verbose=False)


def test_page_is_laid_out_without_a_backend():
    page = build_page(BackendClient("http://127.0.0.1:9"))
    kinds = [block.get_block_name() for block in page.blocks.values()]
    assert kinds.count("tabitem") == len(TABS)


def test_every_placeholder_has_a_script_that_draws_it():
    scripts = "".join(path.read_text(encoding="utf-8") for path in STATIC.glob("*.js"))
    drawn = set(re.findall(r'mount\("(\w+)"', scripts))
    page = build_page(BackendClient("http://127.0.0.1:9"))
    values = [block.value for block in page.blocks.values() if block.get_block_name() == "html" and block.value]
    placeholders = {name for value in values for name in re.findall(r'data-part="(\w+)"', value)}
    assert placeholders and placeholders == drawn


def test_every_text_of_the_scripts_is_in_the_labels():
    for path in STATIC.glob("*.js"):
        used = set(re.findall(r'\bt\("(\w+)"', path.read_text(encoding="utf-8")))
        assert used <= set(labels.SCRIPT), f"{path.name}: {sorted(used - set(labels.SCRIPT))}"


def test_every_script_is_imported_by_another():
    text = {path.name: path.read_text(encoding="utf-8") for path in STATIC.glob("*.js")}
    loaded = {name for source in text.values() for name in re.findall(r'(?:from|import) "\./([\w.]+)"', source)}
    assert set(text) - loaded == {"page.js"}


def test_page_loads_nothing_from_other_hosts():
    with served(FakeEngine()) as backend, paged(backend) as url, httpx.Client(base_url=url, trust_env=False) as http:
        html = http.get("/").text
        for name in ("page.css", *(path.name for path in STATIC.glob("*.js"))):
            assert http.get(f"/page/{name}").status_code == 200
    assert "/page/page.js" in html
    own = "".join(path.read_text(encoding="utf-8") for path in STATIC.iterdir() if path.is_file())
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)[\w.]+", own)


def test_voice_is_added_only_with_consent(tmp_path):
    engine = FakeEngine()
    (tmp_path / "clip.wav").write_bytes(b"RIFF")
    clip = gradio_client.handle_file(str(tmp_path / "clip.wav"))
    with page_client(engine) as page:
        add = lambda *values: page.predict(*values, api_name="/add_voice")  # noqa: E731
        assert add("", clip, "words", True) == labels.VOICE_NEEDS_NAME
        assert add("Ann", clip, "words", False) == labels.VOICE_NEEDS_CONSENT
        assert engine.added == []
        assert "Ann" in add(" Ann ", clip, "words", True)
        assert "There is a voice 'Ann' already" in add("Ann", clip, "words", True)
        assert "<b>" not in add("<b>", clip, "words", True)
    assert engine.added[0] == ("Ann", ReferenceClip(b"RIFF", "words"), "words", True)


def test_presets_name_existing_settings():
    for values in labels.PRESETS.values():
        assert set(values) <= set(labels.SETTINGS)


def test_labels_cannot_close_their_script_element():
    from ui.gradio_theme import head

    found = re.search(r'<script type="application/json" id="pg-labels">(.*?)</script>', head(), re.S)
    assert json.loads(found[1]) == json.loads(json.dumps(labels.SCRIPT))


def test_scripts_and_style_are_package_data():
    assert 'ui = ["static/*"]' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
