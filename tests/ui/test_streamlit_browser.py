"""The Streamlit pages in a real browser, with the built-in voice behind them.

`PICTURES=docs/images bash test.sh all -m browser tests/ui` makes the pictures of the documents anew.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

pytest.importorskip("streamlit")
pytest.importorskip("playwright")

from backend.audio.files import read_audio  # noqa: E402
from tests.support.browser import DESKTOP, LIMIT_MS, PHONE, barriers, chromium, hold_first_load, keep  # noqa: E402
from tests.support.repository import ROOT  # noqa: E402

SIZES = {"desktop": DESKTOP, "phone": PHONE}
# Counted, not timed: a machine that stands still for a while is no failure.
MAX_LOOKS = 900
# What a visitor should wait for at most, on a machine that does nothing else.
FIRST_LOAD_BAR_S = 3.0
TEXT = "The kettle is on, and the tea is nearly ready."
# Marked up by Streamlit alone, without a way for us to name it. All else on a page is held to axe.
STREAMLITS_OWN = {
    "[data-testid=stMetricChart]": "its empty mark for the point under the mouse has no name; the card says the number",
}
PAGES = ("", "speak", "batch", "voices", "codec", "jobs", "system")

# Everything a visitor can act on has a name that a screen reader can say.
NAMELESS = """() => [...document.querySelectorAll('button, input, textarea, select, a[href]')]
  .filter(e => e.checkVisibility() && e.type !== 'hidden' && !e.closest('[aria-hidden="true"]'))
  .filter(e => !(e.ariaLabel || e.innerText?.trim() || e.title || e.placeholder || e.labels?.length
    || e.getAttribute('aria-labelledby') || e.querySelector('[aria-label], img[alt], svg title')))
  .map(e => e.outerHTML.slice(0, 160))"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def running(command, url, env):
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, env=env, stdout=subprocess.DEVNULL)
    try:
        for _ in range(MAX_LOOKS):
            assert process.poll() is None, f"{command} ended"
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        else:
            raise AssertionError(f"{command} did not start")
        yield
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page of a backend that speaks with the built-in voice."""
    backend, page = f"http://127.0.0.1:{(port := free_port())}", free_port()
    env = {
        **os.environ,
        "DATA_DIR": str(tmp_path_factory.mktemp("data")),
        "DEVICE": "cpu",
        "API_KEY": "",
        "MODEL_DIR": "auto",
    }
    serve = ["uvicorn", "backend.app:app", "--port", str(port), "--log-level", "warning"]
    show = ["streamlit", "run", "ui/streamlit_app.py", "--server.address=127.0.0.1", f"--server.port={page}"]
    url = f"http://127.0.0.1:{page}"
    with running(serve, f"{backend}/ready", env), running([*show, "--", "--backend", backend], url, env):
        yield url


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser, address):
    """Opens a path of the page; fails the test if the page had errors of its own."""
    troubles, contexts = [], []

    def go(path, size="desktop", scheme="light"):
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, accept_downloads=True
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(LIMIT_MS)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(f"{address}/{path}")
        page.get_by_role("heading", level=1).wait_for()
        return page

    yield go
    for context in contexts:
        context.close()
    assert troubles == []


def settle(page):
    """Until the script behind the page is done and nothing moves."""
    page.wait_for_function("() => document.querySelector('.stApp')?.dataset.testScriptState === 'notRunning'")
    page.wait_for_function("() => !document.querySelector('[data-testid=stSkeleton]')")
    page.wait_for_timeout(500)


def shut_out(page, name):
    settle(page)
    # What takes long to be drawn anew turns pale meanwhile; without transitions, as axe looks at it, it would at once.
    page.add_style_tag(content="[data-stale=true] { opacity: 1 !important; }")
    return barriers(page, name, "body", besides=STREAMLITS_OWN)


def picture(page, name):
    settle(page)
    keep(page, f"streamlit-{name}", whole=False)
    assert shut_out(page, name) == []


def speak(page):
    page.get_by_label("Text", exact=True).fill(TEXT)
    page.get_by_role("button", name="Speak", exact=True).click()
    page.get_by_text("Spoken.").wait_for()
    page.locator("audio").first.wait_for(state="attached")


def test_visitor_hears_a_text_and_takes_it_home_in_another_format(visit, tmp_path):
    page = visit("speak")
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Seed").press("Tab")
    speak(page)
    page.wait_for_function("() => { const a = document.querySelector('audio'); return a && a.duration > 0.5 }")
    with page.expect_download() as download:
        page.get_by_role("button", name="flac", exact=True).click()
    download.value.save_as(tmp_path / "heard.flac")
    assert read_audio(tmp_path / "heard.flac").duration_s > 0.5
    picture(page, "speak-desktop")


def test_overview_follows_what_happens(visit):
    overview, page = visit(""), visit("speak")
    speak(page)
    card = overview.get_by_test_id("stMetric").filter(has_text="Speeches")
    overview.wait_for_function(
        "() => [...document.querySelectorAll('[data-testid=stMetric]')].some(m => /Speeches\\s*[1-9]/.test(m.innerText))"
    )
    assert card.count() == 1
    overview.wait_for_timeout(6000)
    picture(overview, "overview-desktop")


def test_visitor_speaks_a_file_of_texts_and_gets_a_zip(visit, tmp_path):
    page = visit("batch")
    texts = {"name": "texts.csv", "mimeType": "text/csv", "buffer": b"text,seed\nGood morning.,1\nSee you soon.,2\n"}
    page.locator('input[type="file"]').set_input_files(texts)
    page.get_by_role("button", name="Speak 2 of 2").click()
    page.get_by_text("2 of 2 are spoken").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download all (zip)").click()
    download.value.save_as(tmp_path / "all.zip")
    shutil.unpack_archive(tmp_path / "all.zip", tmp_path / "all")
    assert sorted(path.suffix for path in (tmp_path / "all").iterdir()) == [".csv", ".wav", ".wav"]
    picture(page, "batch-desktop")


def test_visitor_hears_a_voice(visit):
    page = visit("voices")
    page.get_by_role("button", name="Hear").first.click()
    page.locator("audio").first.wait_for(state="attached")
    picture(page, "voices-desktop")


def test_sound_goes_to_codes_and_back(visit, tmp_path):
    speaking = visit("speak")
    speak(speaking)
    with speaking.expect_download() as download:
        speaking.get_by_role("button", name="wav", exact=True).click()
    download.value.save_as(tmp_path / "speech.wav")
    page = visit("codec")
    page.locator('input[type="file"]').first.set_input_files(tmp_path / "speech.wav")
    page.get_by_text("speech.wav").wait_for()
    page.get_by_role("button", name="Encode").click()
    page.get_by_text("frames a second").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the code file").click()
    assert Path(download.value.path()).stat().st_size < (tmp_path / "speech.wav").stat().st_size / 50
    picture(page, "codec-desktop")


def test_visitor_has_a_long_text_spoken_and_hears_a_sentence(visit):
    page = visit("jobs")
    page.get_by_text("New job").click()
    page.get_by_label("Text", exact=True).fill(
        "# The kettle\n\nIt costs $5, not $6.\n\n# The window\n\nSit down by it."
    )
    page.get_by_label("Title").fill("Two rooms")
    page.get_by_role("button", name="Start the job").click()
    page.get_by_text("The job is started.").wait_for()
    page.get_by_role("button", name="Download").wait_for()
    page.get_by_role("button", name="Another take").nth(1).click()
    page.get_by_text("Sentence 2 has another take.").wait_for()
    settle(page)
    page.get_by_role("button", name="Hear").nth(1).click()
    page.locator("audio").wait_for(state="attached")
    page.get_by_text("It costs $5, not $6.", exact=True).wait_for()
    for fold in page.locator(".stMain details[open] summary").all():
        fold.click()
    picture(page, "jobs-desktop")


def test_visitor_is_told_of_a_document_that_is_none(visit):
    page = visit("jobs")
    page.get_by_text("New job").click()
    book = {"name": "book.epub", "mimeType": "application/epub+zip", "buffer": b"PK\x03\x04 and no archive"}
    page.locator('input[type="file"]').set_input_files(book)
    page.get_by_text("book.epub").wait_for()
    page.get_by_role("button", name="Start the job").click()
    told = page.get_by_test_id("stAlert").filter(has_text="EPUB")
    told.wait_for()
    assert "Traceback" not in page.inner_text("body") and str(ROOT) not in page.inner_text("body")


def test_visitor_is_told_of_a_recording_that_is_none(visit):
    page = visit("voices")
    page.get_by_text("Add a voice").first.click()
    broken = {"name": "me.wav", "mimeType": "audio/wav", "buffer": b"RIFF, but no sound"}
    page.locator('input[type="file"]').first.set_input_files(broken)
    page.get_by_text("me.wav").wait_for()
    page.get_by_label("Name").first.fill("Nobody")
    page.get_by_text("The person who speaks agrees").click()
    page.get_by_role("button", name="Add this voice").click()
    page.get_by_test_id("stAlert").filter(has_text="answered 400").wait_for()
    assert "Traceback" not in page.inner_text("body")


def test_system_tells_what_was_chosen_and_why(visit):
    page = visit("system", scheme="dark")
    page.get_by_text("Optimizations, and why").wait_for()
    page.get_by_role("cell", name="bf16_decoder (codec)").wait_for()
    picture(page, "system-dark-desktop")


@pytest.mark.parametrize("path", PAGES)
def test_page_fits_a_phone_and_names_what_can_be_touched(visit, path):
    page = visit(path, "phone", "dark" if path == "voices" else "light")
    settle(page)
    if path == "speak":
        speak(page)
    # Tables may scroll inside themselves; the page may not.
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert page.evaluate(NAMELESS) == []
    picture(page, f"{path or 'overview'}-phone")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("path", PAGES)
def test_page_keeps_nobody_out(visit, path, size):
    for scheme in ("light", "dark"):
        page = visit(path, size, scheme)
        for fold in page.locator(".stMain [data-testid=stExpander] summary").all():
            fold.click()
        for tab in page.get_by_role("tab").all() or [None]:
            if tab:
                tab.click()
            assert shut_out(page, f"{path} {size} {scheme}") == []
        if size == "phone" and path in ("speak", "batch"):
            page.get_by_test_id("stExpandSidebarButton").click()
            page.locator("[data-testid=stSidebar] summary").click()
            assert shut_out(page, f"settings of {path} {scheme}") == []


def test_first_visit_is_short(browser, address):
    ready = lambda page: page.get_by_role("button", name="Speak", exact=True).wait_for()  # noqa: E731
    hold_first_load(browser, f"{address}/speak", ready, FIRST_LOAD_BAR_S)
