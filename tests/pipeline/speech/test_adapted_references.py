"""Voice adaptation to reference clips of a request."""

import threading
import time

import pytest

from backend.errors import BadRequest, Busy, TimedOut
from backend.pipeline.speech.adapted_references import MAX_WAITING
from backend.runtime.request import ReferenceClip, SpeechRequest
from tests.support.small_engine import adapting_engine, clip, load_engine, open_small_voices

TRANSCRIPT = "some words"
CLIP = ReferenceClip(clip().audio, TRANSCRIPT)


def speech_request(**fields):
    given = {"text": "hello there", "seed": 7, "max_new_tokens": 12, "references": (CLIP,), "fit_reference": True}
    return SpeechRequest(**{**given, **fields})


def codes(engine, **fields):
    return engine.speak(speech_request(**fields)).codes.indices.tolist()


@pytest.fixture(autouse=True)
def _accept_any_transcript(monkeypatch):
    monkeypatch.setattr("backend.lm.voice_adaptation.MAX_DISTANCE", 1e9)


@pytest.fixture
def loads():
    return []


@pytest.fixture
def engine(tmp_path, loads):
    engine = adapting_engine(tmp_path, loads=loads)
    yield engine
    engine.close()


def test_adapted_reference_equals_the_added_voice(engine):
    engine.add_voice("Cleo", clip(), TRANSCRIPT, True)
    assert codes(engine) == codes(engine, references=(), voice="Cleo")
    assert codes(engine) != codes(engine, fit_reference=False)


def test_adaptation_is_cached_by_reference(engine, loads):
    first = codes(engine)
    n_loads = len(loads)
    assert codes(engine) == first and codes(engine, seed=8) != first
    assert len(loads) == n_loads
    assert engine.status().caches["voices"].entries == 1 and engine.clear_caches()["voices"] == 1
    assert codes(engine, use_memory_cache=False) == first and len(loads) > n_loads
    assert engine.status().caches["voices"].entries == 0


def test_transcript_is_part_of_the_cache_key(engine):
    assert codes(engine) != codes(engine, references=(ReferenceClip(CLIP.audio, "words some"),))


def test_impossible_adaptation_is_reported_as_ignored(engine, tmp_path):
    for voice in (None, "ada"):
        assert any("fit_reference" in one for one in engine.speak(speech_request(references=(), voice=voice)).ignored)
    assert not engine.speak(speech_request()).ignored
    plain = load_engine(tmp_path / "plain", open_small_voices)
    assert any("fit_reference" in one for one in plain.speak(speech_request()).ignored)
    plain.close()


def test_wrong_transcript_falls_back_to_the_encoder_embedding(engine, loads):
    wrong = (ReferenceClip(CLIP.audio, "far too many words for so short a clip " * 9),)
    speech = engine.speak(speech_request(references=wrong))
    (reason,) = speech.ignored
    assert reason.startswith("fit_reference: ") and "does not match the recording" in reason
    assert speech.codes.indices.tolist() == codes(engine, references=wrong, fit_reference=False)
    n_loads = len(loads)
    assert engine.speak(speech_request(references=wrong, seed=8)).ignored == (reason,) and len(loads) == n_loads


def test_adaptation_without_a_transcript_is_rejected():
    with pytest.raises(BadRequest, match="fit_reference needs the transcript"):
        speech_request(references=(CLIP, ReferenceClip(CLIP.audio, " ")))


def test_adaptation_counts_against_the_timeout(engine, monkeypatch):
    adapter = engine._loaded.synthesizer.reference.adapted._adapter
    adapt = adapter.adapt
    monkeypatch.setattr(adapter, "adapt", lambda *args: (time.sleep(0.2), adapt(*args))[1])
    with pytest.raises(TimedOut, match="timeout_s"):
        engine.begin(speech_request(timeout_s=0.1))


def test_too_many_pending_adaptations_raise_busy(engine, monkeypatch):
    adapted = engine._loaded.synthesizer.reference.adapted
    adapt, adapting, resume = adapted._adapter.adapt, threading.Event(), threading.Event()

    def slow(*args):
        adapting.set()
        assert resume.wait(20)
        return adapt(*args)

    monkeypatch.setattr(adapted._adapter, "adapt", slow)
    results = []
    threads = [threading.Thread(target=lambda: results.append(codes(engine))) for _ in range(1 + MAX_WAITING)]
    for thread in threads:
        thread.start()
    assert adapting.wait(20)
    until = threading.Event()
    for _ in range(2000):
        if adapted._n_pending == 1 + MAX_WAITING:
            break
        until.wait(0.01)
    with pytest.raises(Busy):
        engine.begin(speech_request(references=(ReferenceClip(CLIP.audio, "words some"),)))
    resume.set()
    for thread in threads:
        thread.join(20)
    assert len(results) == len(threads) and results[0] == results[1] == results[-1]
