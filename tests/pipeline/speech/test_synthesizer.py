"""Text to audio with a small random model: streaming, seed, cache and limit laws."""

import gc
import threading
import time

import numpy as np
import psutil
import pytest
import torch

from backend.codec.spectral import SpectralCodec
from backend.codes import Codes
from backend.errors import BadAudio, Busy, Cancelled, LimitExceeded, TimedOut, UnknownVoice
from backend.pipeline.speech.synthesizer import Synthesizer, SynthesizerLimits
from backend.runtime.request import ReferenceClip
from tests.support.small_engine import (
    DEFAULT_VOICE,
    LIMITS,
    TEXT,
    clip,
    speech_request,
    start_synthesizer,
    synthesize,
)
from tests.support.small_model import small_model


@pytest.fixture(scope="module")
def synthesizer():
    synthesizer = start_synthesizer()
    yield synthesizer
    synthesizer.close()


@pytest.mark.parametrize(("kind", "is_recorded"), [("s1", False), ("s2", False), ("s1", True)])
def test_speech_in_a_batch_equals_speech_alone(kind, is_recorded):
    synthesizer = start_synthesizer(kind, is_recorded)
    requests = [speech_request(TEXT[: 20 + 3 * seed], seed=seed, max_new_tokens=40) for seed in range(8)]
    alone = [synthesize(synthesizer, request) for request in requests]
    before = synthesizer.batch
    together: list = [None] * 8
    threads = [
        threading.Thread(target=lambda i=i, r=r: together.__setitem__(i, synthesize(synthesizer, r)))
        for i, r in enumerate(requests)
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    after = synthesizer.batch
    synthesizer.close()
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one.codes.indices, other.codes.indices)
        np.testing.assert_array_equal(one.waveform.samples, other.waveform.samples)
    n_steps = after.steps - before.steps
    # Threads start at different times on a busy machine, so the mean batch is below eight.
    assert (after.frames - before.frames) / n_steps >= 2.5, "the requests did not share their steps"


@pytest.mark.parametrize("latency", ["low", "balanced", "normal"])
def test_streamed_speech_equals_whole_speech(synthesizer, latency):
    request = speech_request(latency=latency)
    whole = synthesize(synthesizer, request)
    pieces = list(synthesizer.stream(request, DEFAULT_VOICE))
    assert len(pieces) > 1
    np.testing.assert_array_equal(np.concatenate([p.samples for p in pieces], axis=1), whole.waveform.samples)


def test_speech_equals_the_decode_of_its_codes(synthesizer):
    speech = synthesize(synthesizer, speech_request())
    with torch.inference_mode():
        sound = synthesizer.codec_worker.codec.decode(speech.codes)[0].numpy()[:, 20:]
    np.testing.assert_allclose(speech.waveform.samples, sound, atol=1e-5)
    assert speech.metrics.frames == speech.codes.n_frames == 16
    assert speech.finish_reason == "length"


def test_seed_determines_the_codes(synthesizer):
    one, same, other = (
        synthesize(synthesizer, speech_request()),
        synthesize(synthesizer, speech_request()),
        synthesize(synthesizer, speech_request(seed=8)),
    )
    assert torch.equal(one.codes.indices, same.codes.indices)
    assert not torch.equal(one.codes.indices, other.codes.indices)
    free = synthesize(synthesizer, speech_request(seed=None))
    again = synthesize(synthesizer, speech_request(seed=free.metrics.seed))
    assert torch.equal(free.codes.indices, again.codes.indices)


def test_every_sampling_parameter_changes_the_codes(synthesizer):
    plain = synthesize(synthesizer, speech_request()).codes.indices
    for changed in (
        {"temperature": 0.2}, {"top_p": 0.3}, {"top_k": 2}, {"min_p": 0.5}, {"repetition_penalty": 2.0},
        {"max_new_tokens": 12}, {"chunk_length": 20},
    ):  # fmt: skip
        assert not torch.equal(plain, synthesize(synthesizer, speech_request(**changed)).codes.indices), changed


def test_segments_of_a_long_text_use_different_noise(synthesizer):
    text = " ".join(["Every sentence here is the same."] * 4)
    speech = synthesize(synthesizer, speech_request(text, chunk_length=40, max_new_tokens=10))
    assert speech.metrics.frames == 40
    parts = speech.codes.indices.split(10, dim=2)
    assert len({part.numpy().tobytes() for part in parts}) == 4


def test_generation_overlaps_with_decoding(synthesizer):
    text = " ".join(["Every sentence here is the same."] * 5)
    stream = synthesizer.stream(speech_request(text, chunk_length=40), DEFAULT_VOICE)
    list(stream)
    generated = [span for span in stream.timeline if span.name == "prefill"]
    sounded = [span for span in stream.timeline if span.name == "synthesis"]
    assert generated[1].start_s < sounded[-1].start_s
    assert sounded[0].start_s < generated[-1].start_s


def test_repeated_request_is_served_from_the_cache(synthesizer):
    request = speech_request(seed=99, use_memory_cache=True)
    first = synthesize(synthesizer, request)
    steps = synthesizer.batch.steps
    again = synthesize(synthesizer, request)
    assert synthesizer.batch.steps == steps
    assert "codes" in again.metrics.cache_hits and "codes" not in first.metrics.cache_hits
    np.testing.assert_array_equal(first.waveform.samples, again.waveform.samples)
    assert (again.finish_reason, again.metrics.frames) == (first.finish_reason, first.metrics.frames)
    assert (
        "codes"
        not in synthesize(synthesizer, speech_request(seed=99, use_memory_cache=True, top_k=5)).metrics.cache_hits
    )
    assert "codes" not in synthesize(synthesizer, speech_request(seed=99)).metrics.cache_hits


def test_reference_changes_the_codes_and_is_encoded_once(synthesizer):
    plain = synthesize(synthesizer, speech_request())
    request = speech_request(references=(clip(),), use_memory_cache=True, seed=123)
    first = synthesize(synthesizer, request)
    assert not torch.equal(plain.codes.indices, first.codes.indices)
    assert first.metrics.reference_s > 0 and "reference" not in first.metrics.cache_hits
    hits = synthesizer.caches["references"].hits
    assert (
        "reference"
        in synthesize(
            synthesizer, speech_request(references=(clip(),), use_memory_cache=True, seed=124)
        ).metrics.cache_hits
    )
    assert synthesizer.caches["references"].hits == hits + 1


def test_changed_transcript_misses_the_cache(synthesizer):
    def with_text(text, **fields):
        return synthesize(synthesizer, speech_request(references=(clip(seed=5, text=text),), **fields)).codes.indices

    fresh = with_text("The right words.")
    with_text("The wrong words.", use_memory_cache=True)
    assert torch.equal(with_text("The right words.", use_memory_cache=True), fresh)
    assert not torch.equal(with_text("The wrong words.", use_memory_cache=True), fresh)


def test_cached_voice_prefix_gives_the_same_codes(synthesizer):
    reference = clip(2.0, seed=9)
    without = synthesize(synthesizer, speech_request(references=(reference,), seed=1)).codes.indices
    synthesize(synthesizer, speech_request(references=(reference,), seed=2, use_memory_cache=True))
    hit = synthesize(synthesizer, speech_request(references=(reference,), seed=1, use_memory_cache=True))
    assert "prefix" in hit.metrics.cache_hits and "codes" not in hit.metrics.cache_hits
    assert torch.equal(hit.codes.indices, without)


def test_cancelling_frees_the_batch_row(synthesizer):
    stream = synthesizer.stream(
        speech_request(TEXT * 8, max_new_tokens=600, chunk_length=2000, latency="low"), DEFAULT_VOICE
    )
    assert synthesizer.batch.active == 1
    stream.cancel()
    limit = time.monotonic() + 2
    while synthesizer.batch.active and time.monotonic() < limit:
        time.sleep(0.001)
    assert synthesizer.batch.active == 0
    with pytest.raises(Cancelled):
        list(stream)


def test_dropped_stream_cancels_its_request(synthesizer):
    stream = synthesizer.stream(
        speech_request(TEXT * 8, max_new_tokens=600, chunk_length=2000, latency="low"), DEFAULT_VOICE
    )
    del stream
    gc.collect()
    limit = time.monotonic() + 2
    while synthesizer.batch.active and time.monotonic() < limit:
        time.sleep(0.001)
    assert synthesizer.batch.active == 0


def test_invalid_requests_raise_before_any_audio(synthesizer):
    with pytest.raises(BadAudio):
        synthesize(synthesizer, speech_request(references=(ReferenceClip(b"not a sound file", ""),)))
    with pytest.raises(LimitExceeded):
        synthesize(synthesizer, speech_request(references=(clip(25.0),)))
    with pytest.raises(LimitExceeded):
        synthesize(synthesizer, speech_request(TEXT * 20, chunk_length=2000))


def test_full_queue_raises_busy_with_retry_after():
    synthesizer = start_synthesizer(n_rows=1, max_waiting=1)
    gate = threading.Event()
    gate.set()
    step = synthesizer.lm_worker.lm.step
    synthesizer.lm_worker.lm.step = lambda *arguments: (gate.wait(10), step(*arguments))[1]
    first = synthesizer.stream(speech_request(latency="low"), DEFAULT_VOICE)
    gate.clear()
    waiting = threading.Thread(target=lambda: synthesize(synthesizer, speech_request()))
    waiting.start()
    while not synthesizer.batch.waiting:
        time.sleep(0.001)
    with pytest.raises(Busy) as busy:
        synthesizer.stream(speech_request(), DEFAULT_VOICE)
    assert busy.value.retry_after_s >= 1
    gate.set()
    first.collect()
    waiting.join()
    assert synthesizer.counts.refused == 1
    synthesizer.close()


def test_deadline_depends_on_text_length_and_throughput(synthesizer):
    def deadline_s(text):
        stream = synthesizer.stream(
            speech_request(text, chunk_length=2000, max_new_tokens=400, latency="low"), DEFAULT_VOICE
        )
        left_s = stream._session.deadline_s - time.monotonic()
        stream.cancel()
        return left_s

    slow, quick = 2.0, 2000.0
    synthesizer.throughput._frames_per_s = slow
    patient, short = deadline_s(TEXT * 4), deadline_s(TEXT)
    synthesizer.throughput._frames_per_s = quick
    assert patient > short > deadline_s(TEXT) + 30


def test_request_past_its_deadline_raises_timed_out(synthesizer, monkeypatch):
    monkeypatch.setattr(synthesizer.throughput, "timeout_s", lambda n_frames: 0.05)
    with pytest.raises(TimedOut, match="shorter text"):
        synthesize(synthesizer, speech_request(TEXT * 8, max_new_tokens=600, chunk_length=2000))


def test_timeout_s_limits_the_request(synthesizer):
    with pytest.raises(TimedOut, match="0.2 s.*timeout_s"):
        synthesize(synthesizer, speech_request(TEXT * 8, max_new_tokens=600, chunk_length=2000, timeout_s=0.2))


def test_encode_decode_round_trip_keeps_the_length(synthesizer):
    waveform, _ = synthesizer.codes_of_reference(clip(1.0).audio)
    codes = synthesizer.encode(waveform)
    assert isinstance(codes, Codes)
    assert 0 <= synthesizer.decode(codes).n_samples - waveform.n_samples < 160


def test_caches_can_be_cleared_and_are_bounded():
    synthesizer = start_synthesizer(cache_entries=3)
    for seed in range(6):
        synthesize(
            synthesizer,
            speech_request(seed=seed, use_memory_cache=True, references=(clip(0.3, seed=seed),), max_new_tokens=3),
        )
    assert all(counts.entries == 3 for counts in synthesizer.caches.values())
    assert synthesizer.clear_caches() == {"references": 3, "codes": 3, "prefixes": 3}
    assert all(counts.size_bytes == 0 for counts in synthesizer.caches.values())
    synthesizer.close()


def test_memory_is_flat_over_two_hundred_requests(synthesizer):
    def batch(n_requests):
        for seed in range(n_requests):
            request = speech_request(
                seed=seed, max_new_tokens=2, use_memory_cache=True, latency="low", text=TEXT[: 10 + seed % 20]
            )
            if seed % 5:
                synthesize(synthesizer, request)
            else:
                synthesizer.stream(request, DEFAULT_VOICE).cancel()

    process = psutil.Process()
    batch(40)
    gc.collect()
    before, n_threads = process.memory_info().rss, threading.active_count()
    batch(200)
    gc.collect()
    assert process.memory_info().rss - before < 10 * 2**20
    assert threading.active_count() == n_threads
    assert synthesizer.batch.active == synthesizer.batch.waiting == 0


def test_pause_markup_becomes_silence(synthesizer):
    plain = synthesize(synthesizer, speech_request("One. Two.", markup="markup")).waveform
    paused = synthesize(synthesizer, speech_request("One. [pause:0.5s] Two.[pause:0.25s]", markup="markup"))
    # Two segments instead of one, with 0.5 s between them and 0.25 s at the end.
    assert paused.metrics.frames == 32
    samples = np.abs(paused.waveform.samples[0]) > 0
    assert not samples[-2000:].any() and paused.waveform.duration_s > plain.duration_s + 0.75
    middle = np.flatnonzero(samples)
    assert np.diff(middle).max() >= 4000


def test_voice_switch_to_an_unknown_voice_is_rejected(synthesizer):
    with pytest.raises(UnknownVoice, match="Nobody"):
        synthesize(synthesizer, speech_request("One. [voice:Nobody] Two.", markup="markup"))


def test_unsupported_speed_is_reported_as_ignored(synthesizer):
    speech = synthesize(synthesizer, speech_request("One. [speed:3] Two.", markup="markup", speed=2.0))
    assert any("speed 6" in reason for reason in speech.ignored)
    assert synthesize(synthesizer, speech_request("One. [speed:2] Two.", markup="markup", speed=1.5)).ignored == ()


@pytest.mark.parametrize("latency", ["low", "normal"])
def test_speed_changes_the_duration_in_streams_too(synthesizer, latency):
    plain, slow = (
        synthesize(synthesizer, speech_request(latency=latency)),
        synthesize(synthesizer, speech_request(latency=latency, speed=0.5)),
    )
    assert torch.equal(plain.codes.indices, slow.codes.indices)
    assert slow.waveform.n_samples == 2 * plain.waveform.n_samples and slow.ignored == ()
    pieces = [piece.samples for piece in synthesizer.stream(speech_request(latency=latency, speed=0.5), DEFAULT_VOICE)]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), slow.waveform.samples)


def test_speed_markup_applies_to_its_text(synthesizer):
    def duration_s(text, **fields):
        return synthesize(
            synthesizer, speech_request(text, markup="markup", use_memory_cache=True, **fields)
        ).waveform.duration_s

    plain, half = duration_s("One. [pause:1s]Two."), duration_s("One. [pause:1s][speed:2]Two.")
    spoken_s = 16 * 0.02 - 20 / 8000
    assert plain == pytest.approx(1 + 2 * spoken_s, abs=1e-3)
    assert half == pytest.approx(1 + 1.5 * spoken_s, abs=1e-3)
    assert duration_s("One. [pause:1s][speed:2]Two.", speed=2.0) == pytest.approx(1 + 0.75 * spoken_s, abs=1e-3)


def test_unsupported_pitch_is_reported_as_ignored(synthesizer):
    for request in (speech_request(pitch=2.0), speech_request("One. [pitch:2] Two.", markup="markup")):
        assert any("no pitch control" in reason for reason in synthesize(synthesizer, request).ignored)
    assert synthesize(synthesizer, speech_request("One. [pitch:0] Two.", markup="markup")).ignored == ()


def test_pitch_changes_the_audio_of_its_text_but_not_the_codes():
    lm, _, tokenizer = small_model()
    torch.manual_seed(0)
    codec = SpectralCodec(
        sample_rate=8000, n_fft=80, hop_samples=40, stride=4, encoder_dims=(8, 8), encoder_depths=(1, 1),
        decoder_dims=(8, 8), decoder_depths=(1, 1), latent_dim=4, n_codebooks=4, codebook_size=24, source="harmonic",
    ).eval().requires_grad_(False)  # fmt: skip
    limits = SynthesizerLimits(**LIMITS)
    synthesizer = Synthesizer(lm, codec, tokenizer, model_key="tiny", codes_hash="codes", limits=limits)
    synthesizer.start()
    try:
        texts = ("One. [pause:1s]Two.", "One. [pause:1s][pitch:3]Two.")
        plain, shifted = (
            synthesize(synthesizer, speech_request(t, markup="markup", use_memory_cache=True)) for t in texts
        )
        assert torch.equal(plain.codes.indices, shifted.codes.indices) and shifted.ignored == ()
        n_first = plain.waveform.n_samples // 2
        difference = np.abs(shifted.waveform.samples - plain.waveform.samples)
        assert not difference[:, :n_first].any() and difference[:, n_first:].max() > 1e-4
        whole = synthesize(synthesizer, speech_request("One.", pitch=3.0)).waveform.samples
        stream = synthesizer.stream(speech_request("One.", pitch=3.0, latency="low"), DEFAULT_VOICE)
        assert np.abs(np.concatenate([piece.samples for piece in stream], axis=1) - whole).max() < 1e-5
        beyond = synthesize(synthesizer, speech_request("[pitch:8]One.", markup="markup", pitch=8.0))
        assert beyond.ignored == ("pitch 16 (text plus request): the range is -12 to 12",)
    finally:
        synthesizer.close()


def test_runaway_speech_is_cut_off(synthesizer, monkeypatch):
    """The small model never ends a segment by itself."""
    monkeypatch.setattr("backend.lm.runaway.SPARE_S", 0.5)
    speech = synthesize(synthesizer, speech_request("Hi.", max_new_tokens=900))
    assert speech.finish_reason == "length" and speech.metrics.frames < 80
    again = synthesize(synthesizer, speech_request("Hi.", max_new_tokens=900, whole=True))
    assert again.finish_reason == "length" and again.metrics.retries == 1
    slow = synthesize(synthesizer, speech_request("Hi.", max_new_tokens=900, references=(clip(4.0, text="no"),)))
    assert slow.metrics.frames > speech.metrics.frames, "the clip has a low speech rate"


def test_normalize_switches_text_normalization(synthesizer):
    spoken, raw = (
        synthesize(synthesizer, speech_request("It costs $5.", normalize=on)).codes.indices for on in (True, False)
    )
    assert not torch.equal(spoken, raw)
    assert torch.equal(spoken, synthesize(synthesizer, speech_request("It costs five dollars.")).codes.indices)
