"""The facade: what callers rely on, whatever model is inside."""

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
from backend.pipeline.model_loading import LoadedModel, find_model
from backend.runtime.request import SpeechRequest
from backend.settings import Settings
from tests.pipeline.speech.test_synthesizer import clip
from tests.support.small_model import small_model


def open_small(settings, device, codes_hash="codes-1"):
    lm, codec, tokenizer = small_model()
    return LoadedModel(lm, codec, tokenizer, "small", "small-key", codes_hash)


def settings_in(folder, **changes):
    return Settings(_env_file=None, data_dir=str(folder), device="cpu", chunk_size=1000, cache_limit=10, **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def engine(folder):
    engine = OptimizedEngine(settings_in(folder, max_text_chars=300), open_small)
    engine.load()
    yield engine
    engine.close()


def ask(text="Hello there.", **fields):
    return SpeechRequest(**{"text": text, "seed": 3, "max_new_tokens": 12, **fields})


def test_speaking_is_streaming_collected(engine):
    speech = engine.speak(ask(use_memory_cache=False))
    stream = engine.stream(ask(use_memory_cache=False))
    pieces = [piece.samples for piece in stream]
    np.testing.assert_array_equal(speech.waveform.samples, np.concatenate(pieces, axis=1))
    assert stream.sample_rate_hz == speech.waveform.rate_hz == 8000
    assert stream.metrics.frames == speech.codes.n_frames == 12
    assert stream.metrics.seed == 3 and stream.metrics.total_s >= stream.metrics.first_audio_s > 0
    assert stream.metrics.audio_s == pytest.approx(speech.waveform.duration_s)
    assert stream.finish_reason == "length"


def test_the_first_piece_exists_when_the_stream_does(engine):
    stream = engine.stream(ask())
    assert stream.metrics.first_audio_s > 0 and stream.metrics.audio_s > 0
    stream.cancel()


@pytest.fixture
def busy_engine(folder):
    """One row, whose steps take 10 ms."""

    def open_slow(settings, device):
        model = open_small(settings, device)
        step = model.lm.step
        model.lm.step = lambda *given: (time.sleep(0.01), step(*given))[1]
        return model

    engine = OptimizedEngine(settings_in(folder, max_batch=1), open_slow)
    engine.load()
    yield engine
    engine.close()


def test_a_request_that_waits_can_be_cancelled_and_then_never_starts(busy_engine):
    endless = {"max_new_tokens": 900, "use_memory_cache": False}
    speaking = busy_engine.begin(ask(**endless))
    speaking.first()
    columns = busy_engine.status().batch.prefill_columns
    waiting = busy_engine.begin(ask(seed=4, **endless))
    outcome = []

    def listen():
        try:
            waiting.first()
        except Cancelled as error:
            outcome.append(error)

    listener = threading.Thread(target=listen)
    listener.start()
    assert busy_engine.status().batch.waiting == 1
    cancelled_s = time.monotonic()
    waiting.cancel()
    listener.join(1.0)
    while busy_engine.status().batch.waiting:
        time.sleep(0.002)
    assert outcome and time.monotonic() - cancelled_s < 0.15
    speaking.cancel()
    while busy_engine.status().batch.active:
        time.sleep(0.002)
    assert busy_engine.speak(ask(seed=5, use_memory_cache=False)).metrics.frames == 12
    one_prompt = busy_engine.status().batch.prefill_columns - columns
    assert one_prompt == columns_of_prompt(busy_engine), "the cancelled request was read in"


def columns_of_prompt(engine):
    before = engine.status().batch.prefill_columns
    engine.speak(ask(seed=6, use_memory_cache=False))
    return engine.status().batch.prefill_columns - before


def test_a_place_in_the_queue_is_free_as_soon_as_its_owner_leaves(folder):
    gate = threading.Event()

    def open_gated(settings, device):
        model = open_small(settings, device)
        step = model.lm.step
        model.lm.step = lambda *given: (gate.wait(5), step(*given))[1]
        return model

    gate.set()
    engine = OptimizedEngine(settings_in(folder, max_batch=1, max_queue=1), open_gated)
    engine.load()
    gate.clear()
    # The language model stands still in a step: nothing but the queue itself can see who left.
    speaking = engine.begin(ask(seed=1))
    while not engine.status().batch.active:
        time.sleep(0.002)
    waiting = engine.begin(ask(seed=2))
    with pytest.raises(Busy):
        engine.begin(ask(seed=3))
    waiting.cancel()
    last = engine.begin(ask(seed=3))
    gate.set()
    assert speaking.collect().metrics.frames == last.collect().metrics.frames == 12
    engine.close()


def test_the_first_piece_comes_again_in_the_iteration(engine):
    stream = engine.begin(ask(use_memory_cache=False))
    first = stream.first()
    pieces = list(stream)
    assert pieces[0] is first
    whole = engine.speak(ask(use_memory_cache=False)).waveform.samples
    np.testing.assert_array_equal(np.concatenate([piece.samples for piece in pieces], axis=1), whole)


def test_codes_come_back_as_the_sound_that_was_spoken(engine):
    speech = engine.speak(ask())
    np.testing.assert_allclose(engine.decode(speech.codes).samples, speech.waveform.samples, atol=1e-5)
    codes = engine.encode(speech.waveform)
    assert engine.decode(codes).n_samples >= speech.waveform.n_samples


def test_an_added_voice_speaks_is_listed_and_goes(engine):
    plain = engine.speak(ask()).codes.indices
    voice = engine.add_voice("Ada", clip(), "some words", True)
    assert voice in engine.voices() and not voice.is_builtin
    by_name, by_id = (engine.speak(ask(voice=name)).codes.indices for name in ("ada", voice.id))
    assert (by_name == by_id).all() and not (by_name == plain).all()
    with pytest.raises(VoiceExists):
        engine.add_voice("ADA", clip(), "some words", True)
    engine.delete_voice(voice.id)
    assert engine.voices() == ()
    with pytest.raises(UnknownVoice):
        engine.speak(ask(voice="Ada"))


def test_an_unknown_voice_is_refused_and_creates_nothing(engine, folder):
    before = sorted(folder.rglob("*"))
    for name in ("nobody", "../../x", "C:\\x"):
        with pytest.raises(UnknownVoice):
            engine.stream(ask(voice=name))
    assert sorted(folder.rglob("*")) == before


def test_no_voice_without_consent(engine):
    with pytest.raises(BadVoice, match="consent"):
        engine.add_voice("Eve", clip(), "some words", False)


def test_a_voice_outlives_a_change_of_codec(engine, folder):
    voice = engine.add_voice("Old", clip(seed=4), "some words", True)
    spoken = engine.speak(ask(voice="Old")).codes.indices
    other = OptimizedEngine(settings_in(folder), lambda *given: open_small(*given, codes_hash="codes-2"))
    other.load()
    again = other.speak(ask(voice="Old")).codes.indices
    assert (spoken == again).all(), "the same codec under another name must give the same codes"
    path = folder / "voices" / voice.id / "voice.json"
    assert "codes-2" in path.read_text(encoding="utf-8")
    other.close()
    engine.delete_voice("Old")


def test_limits_of_the_settings_hold(engine):
    with pytest.raises(LimitExceeded, match="MAX_TEXT_CHARS"):
        engine.speak(ask("x" * 301))


def test_the_status_counts_what_was_done(engine):
    before = engine.status().counts.done
    engine.speak(ask(seed=77))
    status = engine.status()
    assert status.is_loaded and status.model == "small" and status.sample_rate_hz == 8000
    assert status.counts.done == before + 1
    assert status.counts.rtf.mean > 0 and status.frames_per_s > 0
    assert status.batch.frames > 0 and status.process.memory_mb > 0 and status.card is None
    assert set(engine.clear_caches()) == {"references", "codes", "prefixes"}
    assert engine.status().caches["codes"].entries == 0


def test_a_lexicon_changes_what_is_said_and_its_errors_name_the_line(folder, engine, tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("# names\nPhonogram = foe no gram\n", encoding="utf-8")
    other = OptimizedEngine(settings_in(folder, lexicon=str(path)), open_small)
    other.load()
    wanted = engine.speak(ask("This is foe no gram.")).codes.indices
    assert (other.speak(ask("This is Phonogram.")).codes.indices == wanted).all()
    assert not (engine.speak(ask("This is Phonogram.")).codes.indices == wanted).all()
    other.close()
    path.write_text("Phonogram = foe no gram\nno equals sign\n", encoding="utf-8")
    other = OptimizedEngine(settings_in(folder, lexicon=str(path)), open_small)
    with pytest.raises(BadText, match="words.txt, line 2"):
        other.load()
    other.close()


def test_a_failed_load_is_an_error_not_a_hang(folder):
    def fail(settings, device):
        raise BadCheckpoint("broken")

    engine = OptimizedEngine(settings_in(folder), fail)
    with pytest.raises(BadCheckpoint):
        engine.load()
    engine.close()


def test_a_model_that_cannot_speak_fails_while_loading_and_leaves_no_thread(folder):
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


def test_nothing_runs_before_load_and_after_close(folder):
    engine = OptimizedEngine(settings_in(folder), open_small)
    with pytest.raises(NotReady):
        engine.speak(ask())
    assert not engine.status().is_loaded
    engine.load()
    engine.close()
    with pytest.raises(NotReady):
        engine.speak(ask())


def test_an_idle_model_leaves_memory_and_comes_back_when_asked(folder):
    engine = OptimizedEngine(settings_in(folder, idle_unload_s=0.05), open_small)
    engine.load()
    engine.speak(ask())
    limit = time.monotonic() + 5
    while engine.status().is_loaded and time.monotonic() < limit:
        time.sleep(0.01)
    assert not engine.status().is_loaded
    stream = engine.stream(ask())
    time.sleep(0.15)
    assert engine.status().is_loaded, "a model in use was taken away"
    assert len(list(stream)) >= 1
    engine.close()


def test_no_model_is_told_with_a_way_out(tmp_path, folder):
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
        engine.speak(ask(seed=seed, use_memory_cache=False))
    assert calls == []
