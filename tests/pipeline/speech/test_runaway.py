"""Looping speech: regenerated while it is buffered, cut off and reported otherwise."""

import numpy as np
import pytest

from backend.codes import Codes
from backend.pipeline.speech.synthesizer import Synthesizer, SynthesizerLimits
from tests.support.small_engine import DEFAULT_VOICE, LIMITS, speech_request, synthesize
from tests.support.small_model import small_model


def looping_synthesizer(is_for_ever=False):
    """A synthesizer whose model repeats one frame after ten, in the first attempt or in all."""
    lm, codec, tokenizer = small_model()
    sample, seen, n_frames = lm.sample, [], {}

    def looping(out, samplers, state, rows):
        frames = sample(out, samplers, state, rows)
        for position, sampler in enumerate(samplers):
            seen.append(sampler)  # keep it alive so that its id stays unique
            n_frames[id(sampler)] = n_frames.get(id(sampler), 0) + 1
            if n_frames[id(sampler)] > 10 and (is_for_ever or not sampler.attempt):
                frames[position] = lm.spec.semantic_begin_id + 3
                frames[position, 1:] = 3
        return frames

    lm.sample = looping
    synthesizer = Synthesizer(
        lm, codec, tokenizer, model_key="tiny", codes_hash="codes", limits=SynthesizerLimits(**LIMITS)
    )
    synthesizer.start()
    return synthesizer


@pytest.fixture
def short_loop_limit(monkeypatch):
    """Half a second of repetition counts as a loop, 25 frames of the small codec."""
    monkeypatch.setattr("backend.lm.runaway.MIN_LOOP_S", 0.5)


@pytest.mark.parametrize("buffering", [{"whole": True}, {"loudness_lufs": -23.0}])
def test_buffered_looping_segment_is_regenerated(short_loop_limit, buffering):
    synthesizer = looping_synthesizer()
    request = speech_request("One. [pause:0.1s] Two and three.", markup="markup", max_new_tokens=60, **buffering)
    speech = synthesize(synthesizer, request)
    assert speech.metrics.retries == 2 and speech.finish_reason == speech.metrics.finish_reason == "length"
    assert speech.metrics.frames == speech.codes.n_frames == 120
    # The audio is decoded from these codes only, without the first attempts.
    assert speech.waveform.n_samples == 2 * (60 * 160 - 20) + 800
    first = synthesizer.decode(Codes(speech.codes.indices[:, :, :60], speech.codes.codec)).samples
    if "whole" in buffering:
        np.testing.assert_allclose(speech.waveform.samples[:, :9000], first[:, :9000], atol=1e-5)
    streamed = np.concatenate([piece.samples for piece in synthesizer.stream(request, DEFAULT_VOICE)], axis=1)
    np.testing.assert_array_equal(streamed, speech.waveform.samples)
    synthesizer.close()


def test_streamed_looping_segment_ends_with_repetition(short_loop_limit):
    synthesizer = looping_synthesizer(is_for_ever=True)
    request = speech_request(max_new_tokens=600, latency="low", use_memory_cache=True)
    stream = synthesizer.stream(request, DEFAULT_VOICE)
    sound = np.concatenate([piece.samples for piece in stream], axis=1)
    assert stream.finish_reason == stream.metrics.finish_reason == "repetition" and stream.metrics.retries == 0
    assert stream.metrics.frames == 36 and sound.shape[1] == 36 * 160 - 20
    cached = synthesize(synthesizer, request)
    assert cached.finish_reason == "repetition" and "codes" in cached.metrics.cache_hits
    twice = synthesize(synthesizer, speech_request(max_new_tokens=600, whole=True))
    assert (twice.finish_reason, twice.metrics.retries, twice.metrics.frames) == ("repetition", 1, 36)
    synthesizer.close()
