"""The Gradio page in a real browser: a visitor types a text, presses Speak, and hears it."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

gr = pytest.importorskip("gradio")
pytest.importorskip("playwright")

from backend.audio.files import read_audio  # noqa: E402
from backend.errors import NotAvailable  # noqa: E402
from backend.runtime.request import SpeechRequest  # noqa: E402
from tests.api.fake_engine import RATE_HZ, FakeEngine  # noqa: E402
from tests.api.served import served  # noqa: E402
from ui.client import BackendClient  # noqa: E402
from ui.gradio_app import THEME, build_page  # noqa: E402

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Nothing but this machine is to be asked.
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"]
TEXT = "The quick brown fox jumps over the lazy dog."
LIMIT_MS = 120_000


@pytest.fixture(scope="module")
def browser():
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser here; install one of {', '.join(BROWSERS)}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=QUIET)
        yield browser
        browser.close()


@contextmanager
def opened(browser, url, picture):
    """The page of a backend at `url`, as a visitor has it open."""
    blocks = build_page(BackendClient(url))
    _, address, _ = blocks.launch(
        server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, theme=THEME, inbrowser=False
    )
    visit = browser.new_page(viewport={"width": 1280, "height": 1100}, accept_downloads=True)
    visit.set_default_timeout(LIMIT_MS)
    troubles = []
    visit.on("pageerror", lambda error: troubles.append(str(error)))
    try:
        visit.goto(address)
        yield visit
    finally:
        # A picture for whoever wants to look: SCREENSHOTS names a folder.
        if os.environ.get("SCREENSHOTS"):
            visit.screenshot(path=Path(os.environ["SCREENSHOTS"]) / f"{picture}.png")
        visit.close()
        blocks.close()
    assert troubles == []


def test_visitor_types_a_text_and_gets_its_sound(browser, tmp_path):
    engine = FakeEngine()
    with served(engine) as url, opened(browser, url, "spoken") as page:
        page.get_by_text("Ready to speak.").wait_for()
        page.get_by_label("Text", exact=True).fill(TEXT)
        page.get_by_label("Seed").fill("12")
        page.get_by_label("Voice", exact=True).click()
        page.get_by_role("option", name="Hum").click()
        page.get_by_role("button", name="Advanced settings").click()
        page.get_by_label("Temperature").fill("0.4")
        page.get_by_role("button", name="Speak", exact=True).click()
        page.get_by_text("Spoken.").wait_for()
        page.get_by_text(f"{len(TEXT) * 160 / RATE_HZ:.3f}").first.wait_for()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download", exact=True).last.click()
        download.value.save_as(tmp_path / "heard.wav")
        # The player has read the file: it shows its length.
        page.get_by_text("0:01", exact=True).wait_for()
    assert engine.asked == [SpeechRequest(text=TEXT, voice="hum", seed=12, temperature=0.4, whole=True)]
    assert read_audio(tmp_path / "heard.wav").n_samples == len(TEXT) * 160


def test_visitor_is_told_when_there_is_nothing_to_speak_with(browser):
    engine = FakeEngine()
    engine.load_failure = NotAvailable("No checkpoint in checkpoints/.")
    with served(engine) as url, opened(browser, url, "nothing") as page:
        page.get_by_text("Cannot speak yet.").wait_for()
        assert page.get_by_text("No checkpoint in checkpoints/.").is_visible()


def test_page_that_came_before_the_backend_is_of_use_once_it_is_there(browser):
    engine = FakeEngine()
    with served(engine) as url:
        pass
    with opened(browser, url, "late") as page:
        page.get_by_text("The backend cannot be reached.").first.wait_for()
        with served(engine, at_port=int(url.rpartition(":")[2])):
            page.get_by_text("Ready to speak.").wait_for()
            page.get_by_label("Text", exact=True).fill(TEXT)
            page.get_by_role("button", name="Speak", exact=True).click()
            page.get_by_text("Spoken.").wait_for()
    assert [request.text for request in engine.asked] == [TEXT]
