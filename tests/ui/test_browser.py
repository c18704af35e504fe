"""The Gradio page in a real browser, with a fake engine: every sample is played once and in order."""

import json

import httpx
import numpy as np
import pytest

pytestmark = pytest.mark.browser

pytest.importorskip("gradio")
pytest.importorskip("playwright")

from backend.audio.files import encode_audio, read_audio  # noqa: E402
from backend.audio.pcm import to_int16  # noqa: E402
from backend.audio.waveform import Waveform  # noqa: E402
from backend.errors import EngineFailure, NotAvailable  # noqa: E402
from backend.runtime.request import SpeechRequest  # noqa: E402
from tests.support.browser import (  # noqa: E402
    DESKTOP,
    PHONE,
    accessibility_violations,
    chromium,
    inserted_gaps,
    open_tab,
    played_samples,
    visit,
)
from tests.support.fake_engine import RATE_HZ, FakeEngine, sound_of  # noqa: E402
from tests.support.gradio_page import paged  # noqa: E402
from tests.support.served import served  # noqa: E402

TEXT = "The quick brown fox jumps over the lazy dog."
# Gradio clips content wider than the page, so it cannot be scrolled into view.
CUT_OFF = """() => [...document.querySelectorAll('.pg-card')]
  .filter((card) => card.getBoundingClientRect().right > innerWidth).map((card) => card.innerText.slice(0, 60))"""
ALL_TABS = ("Speak", "Audiobooks", "Voices", "Codec", "Emotions", "System")


@pytest.fixture(scope="module")
def browser():
    with chromium() as program:
        yield program


@pytest.fixture(scope="module")
def engine():
    return FakeEngine()


@pytest.fixture(scope="module")
def url(engine):
    # The page's origin is not allowed by CORS: all its requests go through the proxy.
    with served(engine) as backend, paged(backend) as address:
        yield address


@pytest.fixture(autouse=True)
def fresh(engine):
    yield
    engine.pause_after_samples = engine.fail_after_samples = 2**62
    engine.go_on.clear()
    engine.paused.clear()
    engine.asked.clear()
    engine.stored.pop("Ann", None)


def speak(page, text=TEXT):
    page.get_by_label("Text", exact=True).fill(text)
    page.locator("#pg-speak").click()


def wait_until_finished(page):
    page.get_by_text("Speech generated.", exact=False).wait_for()
    page.get_by_role("button", name="Play", exact=True).first.wait_for()


def expected(text=TEXT, seed=1):
    return to_int16(sound_of(SpeechRequest(text=text), seed))[0] / np.float32(32768)


def metric(page, name):
    return page.locator(".pg-metrics div").filter(has_text=name).locator("dd").inner_text()


def test_every_sample_is_played_once_and_in_order(browser, url, engine):
    with visit(browser, url) as page:
        page.get_by_label("Voice", exact=True).click()
        page.get_by_role("option", name="Hum").click()
        page.get_by_role("button", name="Advanced settings").click()
        page.get_by_label("Seed").fill("9223372036854775807")
        page.get_by_label("Temperature").fill("0.4")
        speak(page)
        wait_until_finished(page)
        assert metric(page, "Underruns") == "0"
        assert metric(page, "Seed") == "9223372036854775807"
        sound = played_samples(page, RATE_HZ)
    assert engine.asked == [SpeechRequest(text=TEXT, voice="hum", seed=2**63 - 1, temperature=0.4, markup="markup")]
    assert inserted_gaps(sound, expected(seed=2**63 - 1)) == []


def test_slow_backend_causes_an_underrun_and_loses_no_sample(browser, url, engine):
    engine.pause_after_samples = 3200
    with visit(browser, url) as page:
        speak(page)
        assert engine.paused.wait(20)
        page.get_by_text("Generation is slower than playback").wait_for()
        engine.go_on.set()
        wait_until_finished(page)
        assert metric(page, "Underruns") == "1"
        gaps = inserted_gaps(played_samples(page, RATE_HZ), expected())
    assert len(gaps) == 1 and gaps[0] > 0.02 * RATE_HZ


def test_escape_stops_playback_and_generation(browser, url, engine):
    engine.pause_after_samples, n_cancelled = 4800, engine.n_cancelled
    with visit(browser, url) as page:
        page.get_by_label("Text", exact=True).fill(TEXT)
        page.keyboard.press("Control+Enter")
        assert engine.paused.wait(20)
        page.wait_for_function("rate => window.recordings[rate]?.some(block => block.some(x => x))", arg=RATE_HZ)
        page.keyboard.press("Escape")
        page.get_by_text("Stopped.").wait_for()
        page.wait_for_timeout(300)
        before = len(np.trim_zeros(played_samples(page, RATE_HZ)))
        page.wait_for_timeout(500)
        assert len(np.trim_zeros(played_samples(page, RATE_HZ))) == before <= 4800
    assert engine.n_cancelled > n_cancelled


def test_downloads_hold_the_samples_that_were_played(browser, url, engine, tmp_path):
    with visit(browser, url) as page:
        speak(page)
        wait_until_finished(page)
        choice = page.locator("[data-part=speech] select")
        formats = choice.locator("option").all_inner_texts()
        for format in ("wav", "flac"):
            choice.select_option(format)
            with page.expect_download() as download:
                page.get_by_role("button", name="Download", exact=True).click()
            download.value.save_as(tmp_path / f"speech.{format}")
    assert {"wav", "flac", "mp3", "opus", "pcm"} <= set(formats)
    whole = read_audio(tmp_path / "speech.wav").samples[0]
    assert np.array_equal(np.round(whole * 32768), np.round(expected() * 32768))
    assert np.array_equal(read_audio(tmp_path / "speech.flac").samples[0], whole)


def test_history_survives_a_reload_and_takes_are_compared_blind(browser, url):
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    with visit(browser, url, context=context) as page:
        speak(page)
        wait_until_finished(page)
        page.get_by_role("button", name="Advanced settings").click()
        page.get_by_label("Seed").fill("5")
        speak(page)
        page.get_by_text("Seed 5 ·").wait_for()
    with visit(browser, url, context=context) as page:
        rows = page.locator("[data-part=history] li")
        rows.nth(1).wait_for()
        assert rows.count() == 2 and "Seed 5" in rows.nth(0).inner_text()
        rows.nth(1).get_by_role("button", name="Play").click()
        page.get_by_text("From the history of this browser.").wait_for()
        page.wait_for_timeout(1500)
        assert inserted_gaps(played_samples(page, RATE_HZ), expected()) == []
        for n in (0, 1):
            rows.nth(n).get_by_role("checkbox").check()
        page.get_by_role("button", name="Compare blind").click()
        dialog = page.get_by_role("dialog")
        assert "Seed" not in dialog.inner_text(), "the takes are identified before the choice"
        dialog.get_by_role("button", name="Prefer A").click()
        assert "You prefer" in dialog.inner_text() and "Seed 5" in dialog.inner_text()
        dialog.get_by_role("button", name="Close").click()
        rows.nth(0).get_by_role("button", name="Delete").click()
        page.wait_for_function("document.querySelectorAll('[data-part=history] li').length === 1")
    context.close()


def test_recording_is_used_only_with_consent(browser, url, engine, tmp_path):
    clip = encode_audio(Waveform(sound_of(SpeechRequest(text="clip"), 3), RATE_HZ), "wav")
    (tmp_path / "me.wav").write_bytes(clip)
    with visit(browser, url) as page:
        page.get_by_role("button", name="Clone a voice").click()
        page.locator("#pg-own-voice input[type=file]").set_input_files(tmp_path / "me.wav")
        page.locator("#pg-transcript textarea").fill("What I say there.")
        page.locator("#pg-own-voice audio, #pg-own-voice .waveform-container").first.wait_for(state="attached")
        speak(page)
        page.get_by_text("cloned only with consent").wait_for()
        assert engine.asked == []
        page.get_by_label("The person in the recording agrees").first.check()
        speak(page)
        wait_until_finished(page)
    (request,) = engine.asked
    assert request.voice is None and request.references[0].text == "What I say there."
    assert request.references[0].audio == clip and request.fit_reference


def test_voices_are_added_searched_and_removed(browser, url, engine, tmp_path):
    (tmp_path / "ann.wav").write_bytes(encode_audio(Waveform(sound_of(SpeechRequest(text="clip"), 3), RATE_HZ), "wav"))
    with visit(browser, url) as page:
        page.get_by_role("tab", name="Voices").click()
        page.locator("#pg-voice-name textarea, #pg-voice-name input").first.fill("Ann")
        page.locator("#pg-voice-sound input[type=file]").set_input_files(tmp_path / "ann.wav")
        page.locator("#pg-voice-sound audio, #pg-voice-sound .waveform-container").first.wait_for(state="attached")
        page.get_by_role("button", name="Add a voice").click()
        page.get_by_text("tick the box").wait_for()
        page.locator("#pg-voice-consent input").check()
        page.get_by_role("button", name="Add a voice").click()
        page.get_by_text("was added to the library").wait_for()
        page.locator(".pg-voice").filter(has_text="Ann").wait_for()
        page.get_by_label("Search voices").fill("hum")
        page.wait_for_function("document.querySelectorAll('.pg-voice').length === 1")
        page.get_by_label("Search voices").fill("")
        page.on("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Remove: Ann").click()
        page.wait_for_function("document.querySelectorAll('.pg-voice').length === 1")
    assert "Ann" not in engine.stored and len(engine.added) == 1


def test_tag_is_inserted_at_the_cursor_and_enables_markup(browser, url, engine):
    with visit(browser, url) as page:
        page.get_by_role("button", name="happy").first.wait_for()
        page.get_by_role("button", name="Advanced settings").click()
        field = page.get_by_label("Text", exact=True)
        field.fill("One two")
        field.evaluate("field => field.setSelectionRange(4, 4)")
        page.get_by_role("button", name="[pause:0.5s]").click()
        assert field.input_value() == "One [pause:0.5s] two"
        page.locator("#pg-speak").click()
        wait_until_finished(page)
    assert (engine.asked[0].text, engine.asked[0].markup) == ("One [pause:0.5s] two", "markup")


@pytest.mark.parametrize(
    ("cause", "message"),
    [
        (lambda page, engine: page.get_by_label("Text", exact=True).fill(" "), "Enter a text first."),
        (lambda page, engine: page.get_by_label("Seed").fill("seven"), "seed is 'seven'"),
        (lambda page, engine: page.get_by_label("Temperature").fill("9"), "temperature is '9'"),
        (
            lambda page, engine: setattr(engine, "fail_after_samples", 1600) or setattr(engine, "failure", EngineFailure("x")),
            "ended early",
        ),
    ],
    ids=["no text", "bad seed", "out of bounds", "aborted stream"],
)  # fmt: skip
def test_failures_are_shown_as_a_message(browser, url, engine, cause, message):
    with visit(browser, url) as page:
        page.get_by_label("Text", exact=True).fill(TEXT)
        page.get_by_role("button", name="Advanced settings").click()
        cause(page, engine)
        page.locator("#pg-speak").click()
        page.locator(".pg-state.pg-bad").filter(has_text=message).wait_for()


def test_missing_checkpoint_is_reported(browser):
    engine = FakeEngine()
    engine.load_failure = NotAvailable("No checkpoint in checkpoints/.")
    with served(engine) as backend, paged(backend) as url, visit(browser, url) as page:
        page.get_by_text("Not ready. No checkpoint in checkpoints/.").wait_for()


def test_page_opened_before_the_backend_works_once_it_starts(browser):
    engine = FakeEngine()
    with served(engine) as backend:
        pass
    with paged(backend) as url, visit(browser, url) as page:
        page.locator(".pg-pill").filter(has_text="Start the backend").wait_for()
        page.get_by_role("tab", name="Audiobooks").wait_for()
        with served(engine, at_port=int(backend.rpartition(":")[2])):
            page.get_by_text("Ready · hum").wait_for()
            speak(page)
            wait_until_finished(page)
    assert [request.text for request in engine.asked] == [TEXT]


def test_system_tab_shows_health_caches_and_clears_them(browser, url):
    with visit(browser, url) as page:
        page.get_by_role("tab", name="System").click()
        page.get_by_text("The backend is running.").wait_for()
        page.get_by_role("cell", name="references").wait_for()
        page.get_by_role("button", name="Clear", exact=True).click()
        page.get_by_text("2 entries cleared.").wait_for()


def test_theme_is_remembered(browser, url):
    context = browser.new_context(color_scheme="light")
    with visit(browser, url, context=context) as page:
        is_dark = lambda: page.evaluate("document.body.classList.contains('dark')")  # noqa: E731
        assert not is_dark()
        page.get_by_role("button", name="Dark or light").click()
        assert is_dark()
    with visit(browser, url, context=context) as page:
        assert page.evaluate("document.body.classList.contains('dark')")
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_components_are_accessible(browser, url, scheme, size):
    with visit(browser, url, size, scheme) as page:
        for n_spoken in (1, 2):
            speak(page)
            page.wait_for_function(
                "n => document.querySelectorAll('[data-part=history] li input').length === n", arg=n_spoken
            )
        for n in (0, 1):
            page.locator("[data-part=history] li").nth(n).get_by_role("checkbox").check()
        page.get_by_role("button", name="Compare blind").click()
        page.get_by_role("dialog").get_by_role("button", name="Prefer A").click()
        found = accessibility_violations(page, "comparing", ".pg-dialog")
        page.get_by_role("dialog").get_by_role("button", name="Close").click()
        for name in ALL_TABS:
            open_tab(page, name)
            page.wait_for_timeout(800)
            found += accessibility_violations(page, name, "[data-part]")
            assert page.evaluate("document.documentElement.scrollWidth") <= size[0], name
            assert page.evaluate(CUT_OFF) == [], name
    assert not found, json.dumps(found, indent=1)


def test_inserted_gaps_are_detected():
    sound = expected()
    assert inserted_gaps(sound, sound) == []
    assert inserted_gaps(np.concatenate([sound[:3001], np.zeros(500, np.float32), sound[3001:]]), sound) == [500]
    with pytest.raises(AssertionError, match="differs"):
        inserted_gaps(np.concatenate([sound[:3001], sound[3002:]]), sound)
    with pytest.raises(AssertionError, match="not played"):
        inserted_gaps(sound[:-900], sound)


def test_proxy_serves_the_voices(url):
    assert httpx.get(f"{url}/backend/voices", trust_env=False).json()["voices"][0]["name"] == "Hum"
