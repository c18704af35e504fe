"""The Gradio page in a real browser: a visitor types, presses Speak, and hears every sample, once and in order."""

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
from tests.support.browser import DESKTOP, PHONE, barriers, chromium, heard, inserted_gaps, open_tab, visit  # noqa: E402
from tests.support.fake_engine import RATE_HZ, FakeEngine, sound_of  # noqa: E402
from tests.support.gradio_page import paged  # noqa: E402
from tests.support.served import served  # noqa: E402

TEXT = "The quick brown fox jumps over the lazy dog."
# Gradio clips what is wider than the page, so nobody could scroll to it.
CUT_OFF = """() => [...document.querySelectorAll('.pg-card')]
  .filter((card) => card.getBoundingClientRect().right > innerWidth).map((card) => card.innerText.slice(0, 60))"""
ALL_TABS = ("Speak", "Review", "Voices", "Codec", "Emotions", "System")


@pytest.fixture(scope="module")
def browser():
    with chromium() as program:
        yield program


@pytest.fixture(scope="module")
def engine():
    return FakeEngine()


@pytest.fixture(scope="module")
def url(engine):
    # The page's own origin is none of the settings: all it asks goes through its relay.
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


def say(page, text=TEXT):
    page.get_by_label("Text", exact=True).fill(text)
    page.locator("#pg-speak").click()


def finished(page):
    page.get_by_text("Spoken.", exact=False).wait_for()
    page.get_by_role("button", name="Play", exact=True).first.wait_for()


def wanted(text=TEXT, seed=1):
    return to_int16(sound_of(SpeechRequest(text=text), seed))[0] / np.float32(32768)


def measure(page, name):
    return page.locator(".pg-measures div").filter(has_text=name).locator("dd").inner_text()


def test_visitor_hears_every_sample_once_and_in_order(browser, url, engine):
    with visit(browser, url) as page:
        page.get_by_label("Voice", exact=True).click()
        page.get_by_role("option", name="Hum").click()
        page.get_by_role("button", name="Advanced settings").click()
        page.get_by_label("Seed").fill("9223372036854775807")
        page.get_by_label("Temperature").fill("0.4")
        say(page)
        finished(page)
        assert measure(page, "Gaps") == "0"
        assert measure(page, "Seed") == "9223372036854775807"
        sound = heard(page, RATE_HZ)
    assert engine.asked == [SpeechRequest(text=TEXT, voice="hum", seed=2**63 - 1, temperature=0.4)]
    assert inserted_gaps(sound, wanted(seed=2**63 - 1)) == []


def test_backend_that_falls_behind_costs_a_pause_and_no_sample(browser, url, engine):
    engine.pause_after_samples = 3200
    with visit(browser, url) as page:
        say(page)
        assert engine.paused.wait(20)
        page.get_by_text("collecting some before going on").wait_for()
        engine.go_on.set()
        finished(page)
        assert measure(page, "Gaps") == "1"
        gaps = inserted_gaps(heard(page, RATE_HZ), wanted())
    assert len(gaps) == 1 and gaps[0] > 0.02 * RATE_HZ


def test_escape_stops_the_sound_and_the_work(browser, url, engine):
    engine.pause_after_samples, n_cancelled = 4800, engine.n_cancelled
    with visit(browser, url) as page:
        page.get_by_label("Text", exact=True).fill(TEXT)
        page.keyboard.press("Control+Enter")
        assert engine.paused.wait(20)
        page.wait_for_function("rate => window.ears[rate]?.some(block => block.some(x => x))", arg=RATE_HZ)
        page.keyboard.press("Escape")
        page.get_by_text("Stopped.").wait_for()
        page.wait_for_timeout(300)
        before = len(np.trim_zeros(heard(page, RATE_HZ)))
        page.wait_for_timeout(500)
        assert len(np.trim_zeros(heard(page, RATE_HZ))) == before <= 4800
    assert engine.n_cancelled > n_cancelled  # by the leaving and by the closing


def test_downloads_hold_the_samples_that_were_heard(browser, url, engine, tmp_path):
    with visit(browser, url) as page:
        say(page)
        finished(page)
        formats = page.locator("[data-part=speech] [role=group] button").all_inner_texts()
        for format in ("wav", "flac"):
            with page.expect_download() as download:
                page.get_by_role("button", name=f"Download {format}").click()
            download.value.save_as(tmp_path / f"heard.{format}")
    assert {"wav", "flac", "mp3", "opus", "pcm"} <= set(formats)
    whole = read_audio(tmp_path / "heard.wav").samples[0]
    assert np.array_equal(np.round(whole * 32768), np.round(wanted() * 32768))
    assert np.array_equal(read_audio(tmp_path / "heard.flac").samples[0], whole)


def test_history_survives_a_reload_and_two_takes_are_compared_blind(browser, url):
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    with visit(browser, url, context=context) as page:
        say(page)
        finished(page)
        page.get_by_role("button", name="Advanced settings").click()
        page.get_by_label("Seed").fill("5")
        say(page)
        page.get_by_text("Seed 5 ·").wait_for()
    with visit(browser, url, context=context) as page:
        rows = page.locator("[data-part=history] li")
        rows.nth(1).wait_for()
        assert rows.count() == 2 and "Seed 5" in rows.nth(0).inner_text()
        rows.nth(1).get_by_role("button", name="Play").click()
        page.get_by_text("From the history of this browser.").wait_for()
        page.wait_for_timeout(1500)
        assert inserted_gaps(heard(page, RATE_HZ), wanted()) == []
        for n in (0, 1):
            rows.nth(n).get_by_role("checkbox").check()
        page.get_by_role("button", name="Compare blind").click()
        dialog = page.get_by_role("dialog")
        assert "Seed" not in dialog.inner_text(), "the takes are named before the choice"
        dialog.get_by_role("button", name="Prefer A").click()
        assert "You prefer" in dialog.inner_text() and "Seed 5" in dialog.inner_text()
        dialog.get_by_role("button", name="Close").click()
        rows.nth(0).get_by_role("button", name="Forget").click()
        page.wait_for_function("document.querySelectorAll('[data-part=history] li').length === 1")
    context.close()


def test_recording_is_used_only_with_consent(browser, url, engine, tmp_path):
    clip = encode_audio(Waveform(sound_of(SpeechRequest(text="clip"), 3), RATE_HZ), "wav")
    (tmp_path / "me.wav").write_bytes(clip)
    with visit(browser, url) as page:
        page.get_by_role("button", name="A voice of your own").click()
        page.locator("#pg-own-voice input[type=file]").set_input_files(tmp_path / "me.wav")
        page.locator("#pg-words textarea").fill("What I say there.")
        page.locator("#pg-own-voice audio, #pg-own-voice .waveform-container").first.wait_for(state="attached")
        say(page)
        page.get_by_text("copied only with consent").wait_for()
        assert engine.asked == []
        page.get_by_label("The person who speaks agrees").first.check()
        say(page)
        finished(page)
    (request,) = engine.asked
    assert request.voice is None and request.references[0].text == "What I say there."
    assert request.references[0].audio == clip and request.fit_reference


def test_voices_are_added_found_and_removed(browser, url, engine, tmp_path):
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
        page.get_by_text("is in the library").wait_for()
        page.locator(".pg-voice").filter(has_text="Ann").wait_for()
        page.get_by_label("Find a voice").fill("hum")
        page.wait_for_function("document.querySelectorAll('.pg-voice').length === 1")
        page.get_by_label("Find a voice").fill("")
        page.on("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Remove: Ann").click()
        page.wait_for_function("document.querySelectorAll('.pg-voice').length === 1")
    assert "Ann" not in engine.stored and len(engine.added) == 1


def test_mark_lands_at_the_cursor_and_is_read_as_markup(browser, url, engine):
    with visit(browser, url) as page:
        page.get_by_role("button", name="happy").first.wait_for()
        page.get_by_role("button", name="Advanced settings").click()
        field = page.get_by_label("Text", exact=True)
        field.fill("One two")
        field.evaluate("field => field.setSelectionRange(4, 4)")
        page.get_by_role("button", name="[pause:0.5s]").click()
        assert field.input_value() == "One [pause:0.5s] two"
        page.locator("#pg-speak").click()
        finished(page)
    assert (engine.asked[0].text, engine.asked[0].markup) == ("One [pause:0.5s] two", "markup")


@pytest.mark.parametrize(
    ("turn", "sentence"),
    [
        (lambda page, engine: page.get_by_label("Text", exact=True).fill(" "), "Write a text first."),
        (lambda page, engine: page.get_by_label("Seed").fill("seven"), "seed is 'seven'"),
        (lambda page, engine: page.get_by_label("Temperature").fill("9"), "temperature is '9'"),
        (
            lambda page, engine: setattr(engine, "fail_after_samples", 1600) or setattr(engine, "failure", EngineFailure("x")),
            "broke off before its end",
        ),
    ],
    ids=["no text", "bad seed", "out of bounds", "broken off"],
)  # fmt: skip
def test_what_goes_wrong_is_said_in_a_sentence(browser, url, engine, turn, sentence):
    with visit(browser, url) as page:
        page.get_by_label("Text", exact=True).fill(TEXT)
        page.get_by_role("button", name="Advanced settings").click()
        turn(page, engine)
        page.locator("#pg-speak").click()
        page.locator(".pg-state.pg-bad").filter(has_text=sentence).wait_for()


def test_visitor_is_told_when_there_is_nothing_to_speak_with(browser):
    engine = FakeEngine()
    engine.load_failure = NotAvailable("No checkpoint in checkpoints/.")
    with served(engine) as backend, paged(backend) as url, visit(browser, url) as page:
        page.get_by_text("Cannot speak yet. No checkpoint in checkpoints/.").wait_for()


def test_page_that_came_before_the_backend_is_of_use_once_it_is_there(browser):
    engine = FakeEngine()
    with served(engine) as backend:
        pass
    with paged(backend) as url, visit(browser, url) as page:
        page.locator(".pg-pill").filter(has_text="Start the backend").wait_for()
        page.get_by_role("tab", name="Review").wait_for()
        with served(engine, at_port=int(backend.rpartition(":")[2])):
            page.get_by_text("Ready · hum").wait_for()
            say(page)
            finished(page)
    assert [request.text for request in engine.asked] == [TEXT]


def test_system_tab_shows_health_caches_and_clears_them(browser, url):
    with visit(browser, url) as page:
        page.get_by_role("tab", name="System").click()
        page.get_by_text("The backend is up.").wait_for()
        page.get_by_role("cell", name="references").wait_for()
        page.get_by_role("button", name="Clear", exact=True).click()
        page.get_by_text("2 entries forgotten.").wait_for()


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
def test_parts_of_ours_keep_nobody_out(browser, url, scheme, size):
    with visit(browser, url, size, scheme) as page:
        for n_spoken in (1, 2):
            say(page)
            page.wait_for_function(
                "n => document.querySelectorAll('[data-part=history] li input').length === n", arg=n_spoken
            )
        for n in (0, 1):
            page.locator("[data-part=history] li").nth(n).get_by_role("checkbox").check()
        page.get_by_role("button", name="Compare blind").click()
        page.get_by_role("dialog").get_by_role("button", name="Prefer A").click()
        found = barriers(page, "comparing", ".pg-dialog")
        page.get_by_role("dialog").get_by_role("button", name="Close").click()
        for name in ALL_TABS:
            open_tab(page, name)
            page.wait_for_timeout(800)
            found += barriers(page, name, "[data-part]")
            assert page.evaluate("document.documentElement.scrollWidth") <= size[0], name
            assert page.evaluate(CUT_OFF) == [], name
    assert not found, json.dumps(found, indent=1)


def test_gap_finder_finds_what_was_put_in():
    sound = wanted()
    assert inserted_gaps(sound, sound) == []
    assert inserted_gaps(np.concatenate([sound[:3001], np.zeros(500, np.float32), sound[3001:]]), sound) == [500]
    with pytest.raises(AssertionError, match="another one"):
        inserted_gaps(np.concatenate([sound[:3001], sound[3002:]]), sound)
    with pytest.raises(AssertionError, match="not heard"):
        inserted_gaps(sound[:-900], sound)


def test_relay_serves_what_the_page_shows(url):
    assert httpx.get(f"{url}/backend/voices", trust_env=False).json()["voices"][0]["name"] == "Hum"
