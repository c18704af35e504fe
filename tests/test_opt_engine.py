"""The engine facade with a small random model."""

import threading
import time

import numpy as np
import pytest

from backend.errors import (
    BadCheckpoint,
    BadText,
    BadVoice,
    Busy,
    Cancelled,
    LimitExceeded,
    NotAvailable,
    NotReady,
    UnknownVoice,
    VoiceExists,
)
from backend.opt_engine import OptimizedEngine
from backend.pipeline.model_loading import find_model
from backend.runtime.request import SpeechRequest
from tests.support.small_engine import clip, open_small, settings_in


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def engine(folder):
    engine = OptimizedEngine(settings_in(folder, max_text_chars=300), open_small)
    engine.load()
    yield engine
    engine.close()


def request(text="Hello there.", **fields):
    return SpeechRequest(**{"text": text, "seed": 3, "max_new_tokens": 12, **fields})


def test_speak_equals_collected_stream(engine):
    speech = engine.speak(request(use_memory_cache=False))
    stream = engine.stream(request(use_memory_cache=False))
    pieces = [piece.samples for piece in stream]
    np.testing.assert_array_equal(speech.waveform.samples, np.concatenate(pieces, axis=1))
    assert stream.sample_rate_hz == speech.waveform.rate_hz == 8000
    assert stream.metrics.frames == speech.codes.n_frames == 12
    assert stream.metrics.seed == 3 and stream.metrics.total_s >= stream.metrics.first_audio_s > 0
    assert stream.metrics.audio_s == pytest.approx(speech.waveform.duration_s)
    assert stream.finish_reason == "length"


def test_stream_returns_after_the_first_chunk_exists(engine):
    stream = engine.stream(request())
    assert stream.metrics.first_audio_s > 0 and stream.metrics.audio_s > 0
    stream.cancel()


@pytest.fixture
def busy_engine(folder):
    """An engine with one batch row and steps of 10 ms."""

    def open_slow(settings, device):
        model = open_small(settings, device)
        step = model.lm.step
        model.lm.step = lambda *given: (time.sleep(0.01), step(*given))[1]
        return model

    engine = OptimizedEngine(settings_in(folder, max_batch=1), open_slow)
    engine.load()
    yield engine
    engine.close()


def test_cancelled_queued_request_never_starts(busy_engine):
    endless = {"max_new_tokens": 900, "use_memory_cache": False}
    speaking = busy_engine.begin(request(**endless))
    speaking.first()
    columns = busy_engine.status().batch.prefill_columns
    waiting = busy_engine.begin(request(seed=4, **endless))
    outcome = []

    def read():
        try:
            waiting.first()
        except Cancelled as error:
            outcome.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    assert busy_engine.status().batch.waiting == 1
    waiting.cancel()
    reader.join(30.0)
    while busy_engine.status().batch.waiting:
        time.sleep(0.002)
    assert outcome
    speaking.cancel()
    while busy_engine.status().batch.active:
        time.sleep(0.002)
    assert busy_engine.speak(request(seed=5, use_memory_cache=False)).metrics.frames == 12
    one_prompt = busy_engine.status().batch.prefill_columns - columns
    assert one_prompt == columns_of_prompt(busy_engine), "the cancelled request was prefilled"


def columns_of_prompt(engine):
    before = engine.status().batch.prefill_columns
    engine.speak(request(seed=6, use_memory_cache=False))
    return engine.status().batch.prefill_columns - before


def test_cancelling_frees_the_queue_slot_at_once(folder):
    step_allowed = threading.Event()

    def open_gated(settings, device):
        model = open_small(settings, device)
        step = model.lm.step
        model.lm.step = lambda *given: (step_allowed.wait(5), step(*given))[1]
        return model

    step_allowed.set()
    engine = OptimizedEngine(settings_in(folder, max_batch=1, max_queue=1), open_gated)
    engine.load()
    step_allowed.clear()
    # The language model is blocked in a step, so only the queue can notice the cancellation.
    speaking = engine.begin(request(seed=1))
    while not engine.status().batch.active:
        time.sleep(0.002)
    waiting = engine.begin(request(seed=2))
    with pytest.raises(Busy):
        engine.begin(request(seed=3))
    waiting.cancel()
    last = engine.begin(request(seed=3))
    step_allowed.set()
    assert speaking.collect().metrics.frames == last.collect().metrics.frames == 12
    engine.close()


def test_iteration_yields_the_first_chunk_again(engine):
    stream = engine.begin(request(use_memory_cache=False))
    first = stream.first()
    pieces = list(stream)
    assert pieces[0] is first
    whole = engine.speak(request(use_memory_cache=False)).waveform.samples
    np.testing.assert_array_equal(np.concatenate([piece.samples for piece in pieces], axis=1), whole)


def test_decoded_codes_equal_the_synthesized_audio(engine):
    speech = engine.speak(request())
    np.testing.assert_allclose(engine.decode(speech.codes).samples, speech.waveform.samples, atol=1e-5)
    codes = engine.encode(speech.waveform)
    assert engine.decode(codes).n_samples >= speech.waveform.n_samples


def test_added_voice_can_be_used_listed_and_deleted(engine):
    plain = engine.speak(request()).codes.indices
    voice = engine.add_voice("Ada", clip(), "some words", True)
    assert voice in engine.voices() and not voice.is_builtin
    by_name, by_id = (engine.speak(request(voice=name)).codes.indices for name in ("ada", voice.id))
    assert (by_name == by_id).all() and not (by_name == plain).all()
    with pytest.raises(VoiceExists):
        engine.add_voice("ADA", clip(), "some words", True)
    engine.delete_voice(voice.id)
    assert engine.voices() == ()
    with pytest.raises(UnknownVoice):
        engine.speak(request(voice="Ada"))


def test_unknown_voice_is_rejected_and_writes_no_files(engine, folder):
    before = sorted(folder.rglob("*"))
    for name in ("nobody", "../../x", "C:\\x"):
        with pytest.raises(UnknownVoice):
            engine.stream(request(voice=name))
    assert sorted(folder.rglob("*")) == before


def test_voice_without_consent_is_rejected(engine):
    with pytest.raises(BadVoice, match="consent"):
        engine.add_voice("Eve", clip(), "some words", False)


def test_added_voice_survives_a_codec_change(engine, folder):
    voice = engine.add_voice("Old", clip(seed=4), "some words", True)
    spoken = engine.speak(request(voice="Old")).codes.indices
    other = OptimizedEngine(settings_in(folder), lambda *given: open_small(*given, codes_hash="codes-2"))
    other.load()
    again = other.speak(request(voice="Old")).codes.indices
    assert (spoken == again).all(), "the same codec under another name must give the same codes"
    path = folder / "voices" / voice.id / "voice.json"
    assert "codes-2" in path.read_text(encoding="utf-8")
    other.close()
    engine.delete_voice("Old")


def test_text_over_max_text_chars_is_rejected(engine):
    with pytest.raises(LimitExceeded, match="MAX_TEXT_CHARS"):
        engine.speak(request("x" * 301))


def test_status_counts_requests(engine):
    before = engine.status().counts.done
    engine.speak(request(seed=77))
    status = engine.status()
    assert status.is_loaded and status.model == "small" and status.sample_rate_hz == 8000
    assert status.counts.done == before + 1
    assert status.counts.rtf.mean > 0 and status.frames_per_s > 0
    assert status.batch.frames > 0 and status.process.memory_mb > 0 and status.card is None
    assert set(engine.clear_caches()) == {"references", "codes", "prefixes"}
    assert engine.status().caches["codes"].entries == 0


def test_lexicon_changes_pronunciation_and_its_errors_name_the_line(folder, engine, tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("# names\nPhonogram = foe no gram\n", encoding="utf-8")
    other = OptimizedEngine(settings_in(folder, lexicon=str(path)), open_small)
    other.load()
    expected = engine.speak(request("This is foe no gram.")).codes.indices
    assert (other.speak(request("This is Phonogram.")).codes.indices == expected).all()
    assert not (engine.speak(request("This is Phonogram.")).codes.indices == expected).all()
    other.close()
    path.write_text("Phonogram = foe no gram\nno equals sign\n", encoding="utf-8")
    other = OptimizedEngine(settings_in(folder, lexicon=str(path)), open_small)
    with pytest.raises(BadText, match="words.txt, line 2"):
        other.load()
    other.close()


def test_failed_load_raises_instead_of_hanging(folder):
    def fail(settings, device):
        raise BadCheckpoint("broken")

    engine = OptimizedEngine(settings_in(folder), fail)
    with pytest.raises(BadCheckpoint):
        engine.load()
    engine.close()


def test_failed_warm_up_raises_and_leaves_no_thread(folder):
    def broken(settings, device):
        model = open_small(settings, device)
        model.codec.decode_frames = lambda indices, state: 1 / 0
        return model

    n_threads = threading.active_count()
    engine = OptimizedEngine(settings_in(folder), broken)
    with pytest.raises(Exception, match="codec"):
        engine.load()
    engine.close()
    assert threading.active_count() == n_threads


def test_requests_before_load_and_after_close_raise_not_ready(folder):
    engine = OptimizedEngine(settings_in(folder), open_small)
    with pytest.raises(NotReady):
        engine.speak(request())
    assert not engine.status().is_loaded
    engine.load()
    engine.close()
    with pytest.raises(NotReady):
        engine.speak(request())


def test_idle_model_is_unloaded_and_reloaded_on_demand(folder):
    engine = OptimizedEngine(settings_in(folder, idle_unload_s=0.05), open_small)
    engine.load()
    engine.speak(request())
    limit = time.monotonic() + 5
    while engine.status().is_loaded and time.monotonic() < limit:
        time.sleep(0.01)
    assert not engine.status().is_loaded
    stream = engine.stream(request())
    time.sleep(0.15)
    assert engine.status().is_loaded, "a model in use was unloaded"
    assert len(list(stream)) >= 1
    engine.close()


def test_missing_model_error_says_how_to_get_one(tmp_path, folder):
    with pytest.raises(NotAvailable, match="openaudio-s1-mini nor phonogram-mini"):
        find_model("auto", tmp_path)
    with pytest.raises(NotAvailable, match="MODEL_DIR is 'missing'"):
        find_model("missing", tmp_path)
    (tmp_path / "phonogram-mini").mkdir()
    (tmp_path / "phonogram-mini" / "config.json").write_text("{}", encoding="utf-8")
    assert find_model("auto", tmp_path).name == "phonogram-mini"
    (tmp_path / "openaudio-s1-mini").mkdir()
    (tmp_path / "openaudio-s1-mini" / "config.json").write_text("{}", encoding="utf-8")
    assert find_model("auto", tmp_path).name == "openaudio-s1-mini"
    assert find_model("phonogram-mini", tmp_path).name == "phonogram-mini"


def test_no_garbage_is_collected_between_requests(engine, monkeypatch):
    calls = []
    monkeypatch.setattr("gc.collect", lambda *_: calls.append("gc"))
    monkeypatch.setattr("torch.cuda.empty_cache", lambda: calls.append("cuda"))
    for seed in range(3):
        engine.speak(request(seed=seed, use_memory_cache=False))
    assert calls == []
