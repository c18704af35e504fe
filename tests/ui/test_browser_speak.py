"""The Speak tab in a real browser: voices, read-along, downloads, cloning, and faults of earlier versions."""

import numpy as np
import pytest

pytestmark = pytest.mark.browser

pytest.importorskip("gradio")
pytest.importorskip("playwright")

from backend.audio.files import encode_audio, read_audio  # noqa: E402
from backend.audio.waveform import Waveform  # noqa: E402
from backend.errors import BadRequest  # noqa: E402
from backend.runtime.request import SpeechRequest  # noqa: E402
from tests.support.browser import PHONE, chromium, visit  # noqa: E402
from tests.support.fake_engine import RATE_HZ, FakeEngine, Voice, sound_of  # noqa: E402
from tests.support.gradio_page import paged  # noqa: E402
from tests.support.served import served  # noqa: E402

TEXT = "The quick brown fox jumps over the lazy dog."


@pytest.fixture(scope="module")
def browser():
    with chromium() as program:
        yield program


@pytest.fixture(scope="module")
def engine():
    engine = FakeEngine()
    engine.stored["eva"] = Voice(
        "eva", "Eva", is_builtin=True, gender="female", accent="British", description="British female voice"
    )
    engine.stored["tom"] = Voice(
        "tom", "Tom", is_builtin=True, gender="male", accent="American", description="American male voice"
    )
    return engine


@pytest.fixture(scope="module")
def url(engine):
    with served(engine) as backend, paged(backend) as address:
        yield address


@pytest.fixture(autouse=True)
def fresh(engine):
    yield
    engine.pause_after_samples = 2**62
    engine.refusal = None
    engine.go_on.clear()
    engine.paused.clear()
    engine.asked.clear()
    engine.stored.pop("Ann", None)


def speak(page, text=TEXT):
    page.get_by_label("Text", exact=True).fill(text)
    page.locator("#pg-speak").click()


def finished(page):
    page.get_by_text("Speech generated.", exact=False).wait_for()
    page.locator(".pg-word").first.wait_for()


def upload(page, tmp_path, seed=3):
    clip = encode_audio(Waveform(sound_of(SpeechRequest(text="clip" * 80), seed), RATE_HZ), "wav")
    (tmp_path / "me.wav").write_bytes(clip)
    page.get_by_role("button", name="Clone a voice").click()
    page.locator("#pg-own-voice input[type=file]").set_input_files(tmp_path / "me.wav")
    page.locator("#pg-own-voice audio, #pg-own-voice .waveform-container").first.wait_for(state="attached")
    return clip


def test_voices_are_filtered_chosen_and_named(browser, url, engine):
    with visit(browser, url) as page:
        cards = page.locator(".pg-voice-card")
        cards.nth(2).wait_for()
        page.get_by_role("button", name="Male", exact=True).click()
        assert cards.all_inner_texts() == ["Sample: Tom\nTom\nAmerican · male"]
        page.get_by_role("button", name="Tom American · male").click()
        page.locator(".pg-chosen-voice").filter(has_text="Tom").wait_for()
        speak(page)
        finished(page)
        page.get_by_role("button", name="Sample: Tom").click()
        page.wait_for_function("document.querySelector('.pg-voice-card button').disabled === false")
    assert [request.voice for request in engine.asked] == ["tom", "tom"]


def test_words_light_up_seek_and_are_saved_as_subtitles(browser, url, tmp_path):
    # Long enough that a word is seen while it is heard.
    text = f"{'a' * 60} {'b' * 60} {'c' * 60}"
    with visit(browser, url) as page:
        speak(page, text)
        page.locator(".pg-word.pg-heard").first.wait_for()
        finished(page)
        assert " ".join(page.locator(".pg-word").all_inner_texts()) == text
        with page.expect_download() as download:
            page.get_by_role("button", name="Download srt").click()
        download.value.save_as(tmp_path / "speech.srt")
        page.locator(".pg-word").last.click()
        page.locator(".pg-word.pg-heard").filter(has_text="ccc").wait_for()
    lines = (tmp_path / "speech.srt").read_text(encoding="utf-8").splitlines()
    assert lines == ["1", "00:00:00,000 --> 00:00:03,640", text]


def test_stopped_speech_is_saved_as_heard_and_marked(browser, url, engine, tmp_path):
    engine.pause_after_samples = 4800
    with visit(browser, url) as page:
        speak(page)
        assert engine.paused.wait(20)
        page.wait_for_function("rate => window.recordings[rate]?.some(block => block.some(x => x))", arg=RATE_HZ)
        page.locator("#pg-stop").click()
        page.get_by_text("incomplete", exact=True).wait_for()
        choice = page.locator("[data-part=speech] select")
        lengths = []
        for format in ("wav", "flac"):
            choice.select_option(format)
            with page.expect_download() as download:
                page.get_by_role("button", name="Download", exact=True).click()
            assert download.value.suggested_filename == f"speech-1-incomplete.{format}"
            download.value.save_as(tmp_path / f"a.{format}")
            lengths.append(read_audio(tmp_path / f"a.{format}").n_samples)
    assert lengths == [4800, 4800] and len(engine.asked) == 1


def test_recording_is_named_and_can_be_replaced_by_a_voice(browser, url, engine, tmp_path):
    with visit(browser, url) as page:
        upload(page, tmp_path)
        page.locator(".pg-chosen-voice").filter(has_text="your recording").wait_for()
        page.locator(".pg-hints li").nth(2).wait_for()
        page.get_by_role("button", name="Use a library voice instead").click()
        page.locator(".pg-chosen-voice").filter(has_text="Hum").wait_for()
        speak(page)
        finished(page)
    assert engine.asked[0].references == ()


def test_voice_is_saved_from_the_speak_tab(browser, url, engine, tmp_path):
    with visit(browser, url) as page:
        clip = upload(page, tmp_path)
        page.locator("#pg-transcript textarea").fill("What I say.")
        page.locator(".pg-clone").get_by_label("Name").fill("Ann")
        page.get_by_role("button", name="Save voice").click()
        page.locator(".pg-clone .pg-bad").filter(has_text="tick the box").wait_for()
        page.get_by_label("The person in the recording agrees").first.check()
        page.get_by_role("button", name="Save voice").click()
        page.get_by_text("“Ann” was saved and selected.").wait_for()
        page.locator(".pg-chosen-voice").filter(has_text="Ann").wait_for()
        speak(page)
        finished(page)
    assert engine.added[-1][:1] == ("Ann",) and engine.added[-1][1].audio == clip
    assert engine.asked[-1].voice == "Ann"


def test_markup_works_by_default_and_history_restores_settings(browser, url, engine):
    with visit(browser, url) as page:
        page.get_by_role("button", name="Advanced settings").click()
        page.get_by_label("Temperature").fill("0.4")
        speak(page, "One [pause:1s] two")
        finished(page)
        page.get_by_label("Temperature").fill("0.9")
        page.get_by_role("button", name="Use text").first.click()
        page.wait_for_function("document.querySelector('#pg-seed input, #pg-seed textarea').value === '1'")
        page.locator("#pg-speak").click()
        page.wait_for_function("document.querySelectorAll('[data-part=history] li input').length === 2")
    assert [(one.markup, one.temperature) for one in engine.asked] == [("markup", 0.4)] * 2


def test_refusal_clears_the_earlier_sound(browser, url, engine):
    with visit(browser, url) as page:
        speak(page)
        finished(page)
        engine.refusal = BadRequest("No.")
        page.locator("#pg-speak").click()
        page.locator(".pg-state.pg-bad").filter(has_text="No.").wait_for()
        assert page.locator("[data-part=speech] .pg-transport").is_disabled()
        assert not page.locator(".pg-word").count()


def test_escape_in_a_list_does_not_stop_the_speech(browser, url, engine):
    engine.pause_after_samples = 4800
    with visit(browser, url) as page:
        speak(page)
        assert engine.paused.wait(20)
        page.get_by_label("Voice", exact=True).click()
        page.get_by_role("option", name="Tom").wait_for()
        page.keyboard.press("Escape")
        engine.go_on.set()
        finished(page)


def test_counter_language_note_and_hand_over(browser, url):
    with visit(browser, url) as page:
        field = page.get_by_label("Text", exact=True)
        field.fill("word " * 700)
        page.get_by_text("3,500 / 5,000 characters").wait_for()
        page.get_by_role("button", name="Continue in Audiobooks").click()
        page.wait_for_function("document.querySelector('[data-part=audiobooks] textarea')?.value.length === 3500")


def test_search_for_male_finds_no_women(browser, url, engine):
    engine.stored["eva"] = Voice(
        "eva", "Eva", is_builtin=True, gender="female", accent="British", description="British female voice"
    )
    with visit(browser, url) as page:
        page.get_by_role("tab", name="Voices").click()
        page.get_by_label("Search voices").fill("male")
        page.wait_for_function("document.querySelectorAll('.pg-voice').length === 1")
        assert "Tom" in page.locator(".pg-voice").inner_text()


def test_voice_names_are_readable_on_a_phone(browser, url):
    with visit(browser, url, PHONE) as page:
        page.locator(".pg-voice-card").first.wait_for()
        picker, result = (
            page.locator(one).bounding_box()["y"] for one in ("[data-part=voice_cards]", "[data-part=speech]")
        )
        assert picker < result
        page.locator(".overflow-menu > button").click()
        page.locator(".overflow-dropdown").get_by_text("Voices").click()
        widths = [box.bounding_box()["width"] for box in page.locator(".pg-voice > .pg-grow").all()]
        assert widths and min(np.array(widths)) > 200
