"""Text to sound with a small random model: the laws of the whole engine."""

import gc
import io
import threading
import time

import numpy as np
import psutil
import pytest
import soundfile
import torch

from backend.codec.spectral import SpectralCodec
from backend.codes import Codes
from backend.errors import BadAudio, Busy, Cancelled, LimitExceeded, TimedOut, UnknownVoice
from backend.optimize.cuda_graph.model import CudaGraphDualAR
from backend.pipeline.speech.synthesizer import Synthesizer, SynthesizerLimits
from backend.pipeline.speech.voice_conditioning import VoiceConditioning
from backend.runtime.request import ReferenceClip, SpeechRequest
from tests.support.small_model import small_model

TEXT = "The quick brown fox jumps over the lazy dog."
LIMITS = {"n_rows": 8, "max_waiting": 32, "max_frames": 1000, "cache_entries": 20, "chunk_samples": 1000}
NOBODY = VoiceConditioning()


def start_speaker(kind="s1", is_recorded=False, **changes):
    lm, codec, tokenizer = small_model(kind)
    lm = CudaGraphDualAR.of(lm) if is_recorded else lm
    limits = SynthesizerLimits(**{**LIMITS, **changes})
    speaker = Synthesizer(lm, codec, tokenizer, model_key="tiny", codes_hash="codes", limits=limits)
    speaker.start()
    return speaker


@pytest.fixture(scope="module")
def speaker():
    speaker = start_speaker()
    yield speaker
    speaker.close()


def ask(text=TEXT, **fields):
    return SpeechRequest(**{"text": text, "seed": 7, "max_new_tokens": 16, "use_memory_cache": False, **fields})


def say(speaker, request, voice=NOBODY):
    return speaker.stream(request, None if request.references else voice).collect()


def clip(seconds=1.0, seed=0, text="some words"):
    samples = np.random.default_rng(seed).standard_normal(round(8000 * seconds)).astype(np.float32) * 0.1
    file = io.BytesIO()
    soundfile.write(file, samples, 8000, format="WAV")
    return ReferenceClip(file.getvalue(), text)


@pytest.mark.parametrize(("kind", "is_recorded"), [("s1", False), ("s2", False), ("s1", True)])
def test_eight_at_once_get_the_speech_they_get_alone(kind, is_recorded):
    speaker = start_speaker(kind, is_recorded)
    requests = [ask(TEXT[: 20 + 3 * seed], seed=seed, max_new_tokens=40) for seed in range(8)]
    alone = [say(speaker, request) for request in requests]
    before = speaker.batch
    together: list = [None] * 8
    threads = [
        threading.Thread(target=lambda i=i, r=r: together.__setitem__(i, say(speaker, r)))
        for i, r in enumerate(requests)
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    after = speaker.batch
    speaker.close()
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one.codes.indices, other.codes.indices)
        np.testing.assert_array_equal(one.waveform.samples, other.waveform.samples)
    n_steps = after.steps - before.steps
    # How soon each thread gets its turn is the machine's affair: on a busy one the eight do not begin together.
    assert (after.frames - before.frames) / n_steps >= 2.5, "the eight did not share their steps"


@pytest.mark.parametrize("latency", ["low", "balanced", "normal"])
def test_streamed_speech_is_the_whole_speech_sample_for_sample(speaker, latency):
    request = ask(latency=latency)
    whole = say(speaker, request)
    pieces = list(speaker.stream(request, NOBODY))
    assert len(pieces) > 1
    np.testing.assert_array_equal(np.concatenate([p.samples for p in pieces], axis=1), whole.waveform.samples)


def test_speech_is_the_decode_of_its_codes(speaker):
    speech = say(speaker, ask())
    with torch.inference_mode():
        sound = speaker.codec_worker.codec.decode(speech.codes)[0].numpy()[:, 20:]
    np.testing.assert_allclose(speech.waveform.samples, sound, atol=1e-5)
    assert speech.metrics.frames == speech.codes.n_frames == 16
    assert speech.finish_reason == "length"


def test_a_seed_means_the_same_codes_and_no_seed_means_new_ones(speaker):
    one, same, other = say(speaker, ask()), say(speaker, ask()), say(speaker, ask(seed=8))
    assert torch.equal(one.codes.indices, same.codes.indices)
    assert not torch.equal(one.codes.indices, other.codes.indices)
    free = say(speaker, ask(seed=None))
    again = say(speaker, ask(seed=free.metrics.seed))
    assert torch.equal(free.codes.indices, again.codes.indices)


def test_every_sampling_parameter_changes_the_codes(speaker):
    plain = say(speaker, ask()).codes.indices
    for changed in (
        {"temperature": 0.2}, {"top_p": 0.3}, {"top_k": 2}, {"min_p": 0.5}, {"repetition_penalty": 2.0},
        {"max_new_tokens": 12}, {"chunk_length": 20},
    ):  # fmt: skip
        assert not torch.equal(plain, say(speaker, ask(**changed)).codes.indices), changed


def test_a_long_text_is_segments_in_order_each_with_noise_of_its_own(speaker):
    text = " ".join(["Every sentence here is the same."] * 4)
    speech = say(speaker, ask(text, chunk_length=40, max_new_tokens=10))
    assert speech.metrics.frames == 40
    parts = speech.codes.indices.split(10, dim=2)
    assert len({part.numpy().tobytes() for part in parts}) == 4


def test_the_next_segment_is_made_while_the_last_one_sounds(speaker):
    text = " ".join(["Every sentence here is the same."] * 5)
    stream = speaker.stream(ask(text, chunk_length=40), NOBODY)
    list(stream)
    generated = [span for span in stream.timeline if span.name == "prefill"]
    sounded = [span for span in stream.timeline if span.name == "synthesis"]
    assert generated[1].start_s < sounded[-1].start_s
    assert sounded[0].start_s < generated[-1].start_s


def test_spoken_before_from_the_same_seed_costs_nothing(speaker):
    request = ask(seed=99, use_memory_cache=True)
    first = say(speaker, request)
    steps = speaker.batch.steps
    again = say(speaker, request)
    assert speaker.batch.steps == steps
    assert "codes" in again.metrics.cache_hits and "codes" not in first.metrics.cache_hits
    np.testing.assert_array_equal(first.waveform.samples, again.waveform.samples)
    assert (again.finish_reason, again.metrics.frames) == (first.finish_reason, first.metrics.frames)
    assert "codes" not in say(speaker, ask(seed=99, use_memory_cache=True, top_k=5)).metrics.cache_hits
    assert "codes" not in say(speaker, ask(seed=99)).metrics.cache_hits


def test_a_reference_changes_the_speech_and_is_encoded_once(speaker):
    plain = say(speaker, ask())
    request = ask(references=(clip(),), use_memory_cache=True, seed=123)
    first = say(speaker, request)
    assert not torch.equal(plain.codes.indices, first.codes.indices)
    assert first.metrics.reference_s > 0 and "reference" not in first.metrics.cache_hits
    hits = speaker.caches["references"].hits
    assert "reference" in say(speaker, ask(references=(clip(),), use_memory_cache=True, seed=124)).metrics.cache_hits
    assert speaker.caches["references"].hits == hits + 1


def test_a_corrected_transcript_is_not_answered_with_the_old_one(speaker):
    def with_text(text, **fields):
        return say(speaker, ask(references=(clip(seed=5, text=text),), **fields)).codes.indices

    fresh = with_text("The right words.")
    with_text("The wrong words.", use_memory_cache=True)
    assert torch.equal(with_text("The right words.", use_memory_cache=True), fresh)
    assert not torch.equal(with_text("The wrong words.", use_memory_cache=True), fresh)


def test_a_remembered_voice_prefix_gives_the_same_codes_as_none(speaker):
    reference = clip(2.0, seed=9)
    without = say(speaker, ask(references=(reference,), seed=1)).codes.indices
    say(speaker, ask(references=(reference,), seed=2, use_memory_cache=True))
    hit = say(speaker, ask(references=(reference,), seed=1, use_memory_cache=True))
    assert "prefix" in hit.metrics.cache_hits and "codes" not in hit.metrics.cache_hits
    assert torch.equal(hit.codes.indices, without)


def test_cancelling_frees_the_row_and_the_codec(speaker):
    stream = speaker.stream(ask(TEXT * 8, max_new_tokens=600, chunk_length=2000, latency="low"), NOBODY)
    assert speaker.batch.active == 1
    stream.cancel()
    limit = time.monotonic() + 2
    while speaker.batch.active and time.monotonic() < limit:
        time.sleep(0.001)
    assert speaker.batch.active == 0
    with pytest.raises(Cancelled):
        list(stream)


def test_a_stream_nobody_holds_cancels_itself(speaker):
    stream = speaker.stream(ask(TEXT * 8, max_new_tokens=600, chunk_length=2000, latency="low"), NOBODY)
    del stream
    gc.collect()
    limit = time.monotonic() + 2
    while speaker.batch.active and time.monotonic() < limit:
        time.sleep(0.001)
    assert speaker.batch.active == 0


def test_what_is_wrong_is_raised_before_any_sound(speaker):
    with pytest.raises(BadAudio):
        say(speaker, ask(references=(ReferenceClip(b"not a sound file", ""),)))
    with pytest.raises(LimitExceeded):
        say(speaker, ask(references=(clip(25.0),)))
    with pytest.raises(LimitExceeded):
        say(speaker, ask(TEXT * 20, chunk_length=2000))


def test_a_full_queue_is_busy_and_says_for_how_long():
    speaker = start_speaker(n_rows=1, max_waiting=1)
    gate = threading.Event()
    gate.set()
    step = speaker.lm_worker.lm.step
    speaker.lm_worker.lm.step = lambda *arguments: (gate.wait(10), step(*arguments))[1]
    first = speaker.stream(ask(latency="low"), NOBODY)
    gate.clear()
    waiting = threading.Thread(target=lambda: say(speaker, ask()))
    waiting.start()
    while not speaker.batch.waiting:
        time.sleep(0.001)
    with pytest.raises(Busy) as busy:
        speaker.stream(ask(), NOBODY)
    assert busy.value.retry_after_s >= 1
    gate.set()
    first.collect()
    waiting.join()
    assert speaker.counts.refused == 1
    speaker.close()


def test_the_deadline_follows_text_and_measured_speed(speaker):
    def deadline_s(text):
        stream = speaker.stream(ask(text, chunk_length=2000, max_new_tokens=400, latency="low"), NOBODY)
        left_s = stream._session.deadline_s - time.monotonic()
        stream.cancel()
        return left_s

    slow, quick = 2.0, 2000.0
    speaker.pace._frames_per_s = slow
    patient, short = deadline_s(TEXT * 4), deadline_s(TEXT)
    speaker.pace._frames_per_s = quick
    assert patient > short > deadline_s(TEXT) + 30


def test_a_request_past_its_deadline_ends_with_an_error(speaker, monkeypatch):
    monkeypatch.setattr(speaker.pace, "timeout_s", lambda n_frames: 0.05)
    with pytest.raises(TimedOut, match="shorter text"):
        say(speaker, ask(TEXT * 8, max_new_tokens=600, chunk_length=2000))


def test_a_request_has_no_longer_than_it_asked_for(speaker):
    started_s = time.monotonic()
    with pytest.raises(TimedOut, match="0.2 s .*timeout_s"):
        say(speaker, ask(TEXT * 8, max_new_tokens=600, chunk_length=2000, timeout_s=0.2))
    assert time.monotonic() - started_s < 5.0


def test_encoding_and_decoding_go_through_the_same_thread(speaker):
    waveform, _ = speaker.codes_of_reference(clip(1.0).audio)
    codes = speaker.encode(waveform)
    assert isinstance(codes, Codes)
    assert 0 <= speaker.decode(codes).n_samples - waveform.n_samples < 160


def test_caches_can_be_cleared_and_are_bounded():
    speaker = start_speaker(cache_entries=3)
    for seed in range(6):
        say(speaker, ask(seed=seed, use_memory_cache=True, references=(clip(0.3, seed=seed),), max_new_tokens=3))
    assert all(counts.entries == 3 for counts in speaker.caches.values())
    assert speaker.clear_caches() == {"references": 3, "codes": 3, "prefixes": 3}
    assert all(counts.size_bytes == 0 for counts in speaker.caches.values())
    speaker.close()


def test_memory_is_flat_over_two_hundred_requests(speaker):
    def batch(n_requests):
        for seed in range(n_requests):
            request = ask(
                seed=seed, max_new_tokens=2, use_memory_cache=True, latency="low", text=TEXT[: 10 + seed % 20]
            )
            if seed % 5:
                say(speaker, request)
            else:
                speaker.stream(request, NOBODY).cancel()

    process = psutil.Process()
    batch(40)
    gc.collect()
    before, n_threads = process.memory_info().rss, threading.active_count()
    batch(200)
    gc.collect()
    assert process.memory_info().rss - before < 10 * 2**20
    assert threading.active_count() == n_threads
    assert speaker.batch.active == speaker.batch.waiting == 0


def test_pauses_in_the_text_are_silence_of_their_length(speaker):
    plain = say(speaker, ask("One. Two.", markup="markup")).waveform
    paused = say(speaker, ask("One. [pause:0.5s] Two.[pause:0.25s]", markup="markup"))
    # Two segments instead of one, half a second between them and a quarter behind.
    assert paused.metrics.frames == 32
    samples = np.abs(paused.waveform.samples[0]) > 0
    assert not samples[-2000:].any() and paused.waveform.duration_s > plain.duration_s + 0.75
    middle = np.flatnonzero(samples)
    assert np.diff(middle).max() >= 4000


def test_a_voice_switch_in_the_text_needs_a_voice_that_is_there(speaker):
    with pytest.raises(UnknownVoice, match="Nobody"):
        say(speaker, ask("One. [voice:Nobody] Two.", markup="markup"))


def test_what_the_text_asks_for_in_vain_is_told(speaker):
    speech = say(speaker, ask("One. [speed:3] Two.", markup="markup", speed=2.0))
    assert any("speed 6" in said for said in speech.ignored)
    assert say(speaker, ask("One. [speed:2] Two.", markup="markup", speed=1.5)).ignored == ()


@pytest.mark.parametrize("latency", ["low", "normal"])
def test_speed_is_honored_and_streamed_speech_is_still_the_whole(speaker, latency):
    plain, slow = say(speaker, ask(latency=latency)), say(speaker, ask(latency=latency, speed=0.5))
    assert torch.equal(plain.codes.indices, slow.codes.indices)
    assert slow.waveform.n_samples == 2 * plain.waveform.n_samples and slow.ignored == ()
    pieces = [piece.samples for piece in speaker.stream(ask(latency=latency, speed=0.5), NOBODY)]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), slow.waveform.samples)


def test_speed_in_the_text_is_that_of_its_words(speaker):
    def duration_s(text, **fields):
        return say(speaker, ask(text, markup="markup", use_memory_cache=True, **fields)).waveform.duration_s

    plain, half = duration_s("One. [pause:1s]Two."), duration_s("One. [pause:1s][speed:2]Two.")
    spoken_s = 16 * 0.02 - 20 / 8000
    assert plain == pytest.approx(1 + 2 * spoken_s, abs=1e-3)
    assert half == pytest.approx(1 + 1.5 * spoken_s, abs=1e-3)
    assert duration_s("One. [pause:1s][speed:2]Two.", speed=2.0) == pytest.approx(1 + 0.75 * spoken_s, abs=1e-3)


def test_a_pitch_that_the_codec_cannot_move_is_told(speaker):
    for request in (ask(pitch=2.0), ask("One. [pitch:2] Two.", markup="markup")):
        assert any("pitch: this checkpoint's codec" in said for said in say(speaker, request).ignored)
    assert say(speaker, ask("One. [pitch:2] Two.", markup="markup", pitch=-2.0)).ignored
    assert say(speaker, ask("One. [pitch:0] Two.", markup="markup")).ignored == ()


def test_pitch_moves_the_sound_of_its_words_and_not_their_codes():
    lm, _, tokenizer = small_model()
    torch.manual_seed(0)
    codec = SpectralCodec(
        sample_rate=8000, n_fft=80, hop_samples=40, stride=4, encoder_dims=(8, 8), encoder_depths=(1, 1),
        decoder_dims=(8, 8), decoder_depths=(1, 1), latent_dim=4, n_codebooks=4, codebook_size=24, source="harmonic",
    ).eval().requires_grad_(False)  # fmt: skip
    limits = SynthesizerLimits(**LIMITS)
    speaker = Synthesizer(lm, codec, tokenizer, model_key="tiny", codes_hash="codes", limits=limits)
    speaker.start()
    try:
        texts = ("One. [pause:1s]Two.", "One. [pause:1s][pitch:3]Two.")
        plain, moved = (say(speaker, ask(text, markup="markup", use_memory_cache=True)) for text in texts)
        assert torch.equal(plain.codes.indices, moved.codes.indices) and moved.ignored == ()
        n_first = plain.waveform.n_samples // 2
        np.testing.assert_array_equal(moved.waveform.samples[:, :n_first], plain.waveform.samples[:, :n_first])
        assert np.abs(moved.waveform.samples[:, n_first:] - plain.waveform.samples[:, n_first:]).max() > 1e-4
        whole = say(speaker, ask("One.", pitch=3.0))
        again = say(speaker, ask("One.", pitch=3.0, use_memory_cache=True))
        np.testing.assert_array_equal(whole.waveform.samples, again.waveform.samples)
        pieces = [piece.samples for piece in speaker.stream(ask("One.", pitch=3.0, latency="low"), NOBODY)]
        assert np.abs(np.concatenate(pieces, axis=1) - whole.waveform.samples).max() < 1e-5
        beyond = say(speaker, ask("[pitch:8]One.", markup="markup", pitch=8.0))
        assert beyond.ignored == ("pitch 16 (text plus request): -12 to 12 are possible",)
    finally:
        speaker.close()


def test_speech_far_longer_than_its_text_is_ended(speaker, monkeypatch):
    """The small model never ends by itself."""
    monkeypatch.setattr("backend.lm.runaway.SPARE_S", 0.5)
    speech = say(speaker, ask("Hi.", max_new_tokens=900))
    assert speech.finish_reason == "length" and speech.metrics.frames < 80
    again = say(speaker, ask("Hi.", max_new_tokens=900, whole=True))
    assert again.finish_reason == "length" and again.metrics.retries == 1
    slow = say(speaker, ask("Hi.", max_new_tokens=900, references=(clip(4.0, text="no"),)))
    assert slow.metrics.frames > speech.metrics.frames, "the clip shows a slow speaker"


def test_normalizing_is_a_switch_that_works(speaker):
    spoken, raw = (say(speaker, ask("It costs $5.", normalize=on)).codes.indices for on in (True, False))
    assert not torch.equal(spoken, raw)
    assert torch.equal(spoken, say(speaker, ask("It costs five dollars.")).codes.indices)
