"""Speech that goes in circles: started over while nobody has heard it, ended and told after."""

import numpy as np
import pytest

from backend.codes import Codes
from backend.pipeline.speech.synthesizer import Synthesizer, SynthesizerLimits
from tests.pipeline.speech.test_synthesizer import LIMITS, NOBODY, ask, say
from tests.support.small_model import small_model


def looping_speaker(is_for_ever=False):
    """A speaker whose model says the same frame again and again after ten; in the first attempt, or in all."""
    lm, codec, tokenizer = small_model()
    sample, seen, n_said = lm.sample, [], {}

    def looping(out, samplers, state, rows):
        frames = sample(out, samplers, state, rows)
        for position, sampler in enumerate(samplers):
            seen.append(sampler)  # so that no other gets its id
            n_said[id(sampler)] = n_said.get(id(sampler), 0) + 1
            if n_said[id(sampler)] > 10 and (is_for_ever or not sampler.attempt):
                frames[position] = lm.spec.semantic_begin_id + 3
                frames[position, 1:] = 3
        return frames

    lm.sample = looping
    speaker = Synthesizer(
        lm, codec, tokenizer, model_key="tiny", codes_hash="codes", limits=SynthesizerLimits(**LIMITS)
    )
    speaker.start()
    return speaker


@pytest.fixture
def impatient(monkeypatch):
    """Half a second of the same is a circle, 25 frames of the small codec."""
    monkeypatch.setattr("backend.lm.runaway.PATIENCE_S", 0.5)


@pytest.mark.parametrize("held", [{"whole": True}, {"loudness_lufs": -23.0}])
def test_speech_in_circles_is_started_over_while_nobody_has_heard_it(impatient, held):
    speaker = looping_speaker()
    request = ask("One. [pause:0.1s] Two and three.", markup="markup", max_new_tokens=60, **held)
    speech = say(speaker, request)
    assert speech.metrics.retries == 2 and speech.finish_reason == speech.metrics.finish_reason == "length"
    assert speech.metrics.frames == speech.codes.n_frames == 120
    # The sound is that of the codes: nothing of the first attempts is in it.
    assert speech.waveform.n_samples == 2 * (60 * 160 - 20) + 800
    first = speaker.decode(Codes(speech.codes.indices[:, :, :60], speech.codes.codec)).samples
    if "whole" in held:
        np.testing.assert_allclose(speech.waveform.samples[:, :9000], first[:, :9000], atol=1e-5)
    streamed = np.concatenate([piece.samples for piece in speaker.stream(request, NOBODY)], axis=1)
    np.testing.assert_array_equal(streamed, speech.waveform.samples)
    speaker.close()


def test_speech_in_circles_that_was_heard_ends_and_says_so(impatient):
    speaker = looping_speaker(is_for_ever=True)
    request = ask(max_new_tokens=600, latency="low", use_memory_cache=True)
    stream = speaker.stream(request, NOBODY)
    sound = np.concatenate([piece.samples for piece in stream], axis=1)
    assert stream.finish_reason == stream.metrics.finish_reason == "repetition" and stream.metrics.retries == 0
    assert stream.metrics.frames == 36 and sound.shape[1] == 36 * 160 - 20
    recalled = say(speaker, request)
    assert recalled.finish_reason == "repetition" and "codes" in recalled.metrics.cache_hits
    twice = say(speaker, ask(max_new_tokens=600, whole=True))
    assert (twice.finish_reason, twice.metrics.retries, twice.metrics.frames) == ("repetition", 1, 36)
    speaker.close()
