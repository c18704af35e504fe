"""A request may have a voice fitted to the recordings that come along with it."""

import threading
import time

import pytest

from backend.errors import BadRequest, Busy, TimedOut
from backend.pipeline.speech.adapted_references import MAX_WAITING
from backend.runtime.request import ReferenceClip, SpeechRequest
from tests.pipeline.speech.test_synthesizer import clip
from tests.pipeline.speech.test_voice_adaptation import WORDS, engine_in
from tests.pipeline.test_likeness import loaded, open_voices

CLIP = ReferenceClip(clip().audio, WORDS)


def ask(**fields):
    given = {"text": "hello there", "seed": 7, "max_new_tokens": 12, "references": (CLIP,), "fit_reference": True}
    return SpeechRequest(**{**given, **fields})


def codes(engine, **fields):
    return engine.speak(ask(**fields)).codes.indices.tolist()


@pytest.fixture(autouse=True)
def _noise_says_nothing(monkeypatch):
    monkeypatch.setattr("backend.lm.voice_adaptation.OTHER_WORDS", 1e9)


@pytest.fixture
def opened():
    return []


@pytest.fixture
def engine(tmp_path, opened):
    engine = engine_in(tmp_path, opened=opened)
    yield engine
    engine.close()


def test_it_speaks_as_the_voice_that_is_added_with_the_same_recording(engine):
    engine.add_voice("Cleo", clip(), WORDS, True)
    assert codes(engine) == codes(engine, references=(), voice="Cleo")
    assert codes(engine) != codes(engine, fit_reference=False)


def test_a_recording_is_fitted_once_for_all_who_bring_it(engine, opened):
    first = codes(engine)
    n_opened = len(opened)
    assert codes(engine) == first and codes(engine, seed=8) != first
    assert len(opened) == n_opened
    assert engine.status().caches["voices"].entries == 1 and engine.clear_caches()["voices"] == 1
    assert codes(engine, use_memory_cache=False) == first and len(opened) > n_opened
    assert engine.status().caches["voices"].entries == 0


def test_other_words_are_another_voice(engine):
    assert codes(engine) != codes(engine, references=(ReferenceClip(CLIP.audio, "words some"),))


def test_what_is_asked_in_vain_is_told(engine, tmp_path):
    for voice in (None, "ada"):
        assert any("fit_reference" in one for one in engine.speak(ask(references=(), voice=voice)).ignored)
    assert not engine.speak(ask()).ignored
    plain = loaded(tmp_path / "plain", open_voices)
    assert any("fit_reference" in one for one in plain.speak(ask()).ignored)
    plain.close()


def test_words_that_are_not_heard_leave_the_voice_as_it_is_heard(engine, opened):
    wrong = (ReferenceClip(CLIP.audio, "far too many words for so short a clip " * 9),)
    speech = engine.speak(ask(references=wrong))
    (reason,) = speech.ignored
    assert reason.startswith("fit_reference: ") and "not what is heard" in reason
    assert speech.codes.indices.tolist() == codes(engine, references=wrong, fit_reference=False)
    n_opened = len(opened)
    assert engine.speak(ask(references=wrong, seed=8)).ignored == (reason,) and len(opened) == n_opened


def test_without_words_there_is_nothing_to_fit():
    with pytest.raises(BadRequest, match="fit_reference needs the words"):
        ask(references=(CLIP, ReferenceClip(CLIP.audio, " ")))


def test_the_time_of_a_request_counts_the_fitting(engine, monkeypatch):
    fitter = engine._loaded.speaker.reference.fitted._fitter
    fit = fitter.fit
    monkeypatch.setattr(fitter, "fit", lambda *args: (time.sleep(0.2), fit(*args))[1])
    with pytest.raises(TimedOut, match="timeout_s"):
        engine.begin(ask(timeout_s=0.1))


def test_who_comes_when_many_wait_is_told_to_come_back(engine, monkeypatch):
    fitted = engine._loaded.speaker.reference.fitted
    fit, fitting, go_on = fitted._fitter.fit, threading.Event(), threading.Event()

    def slow(*args):
        fitting.set()
        assert go_on.wait(20)
        return fit(*args)

    monkeypatch.setattr(fitted._fitter, "fit", slow)
    said = []
    threads = [threading.Thread(target=lambda: said.append(codes(engine))) for _ in range(1 + MAX_WAITING)]
    for thread in threads:
        thread.start()
    assert fitting.wait(20)
    until = threading.Event()
    for _ in range(2000):
        if fitted._n_here == 1 + MAX_WAITING:
            break
        until.wait(0.01)
    with pytest.raises(Busy):
        engine.begin(ask(references=(ReferenceClip(CLIP.audio, "words some"),)))
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert len(said) == len(threads) and said[0] == said[1] == said[-1]
