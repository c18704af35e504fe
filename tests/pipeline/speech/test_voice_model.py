"""Models with a text pointer and speaker embeddings."""

import numpy as np
import pytest
import torch

from backend.errors import BadRequest
from backend.pipeline.speech.synthesizer import Synthesizer, SynthesizerLimits
from backend.pipeline.speech.voice_conditioning import VoiceConditioning
from tests.support.small_engine import DEFAULT_VOICE, LIMITS, clip, speech_request, synthesize
from tests.support.small_model import small_voice_model


def start(has_encoder=True):
    lm, codec, tokenizer, encoder = small_voice_model()
    synthesizer = Synthesizer(
        lm, codec, tokenizer, model_key="tiny", codes_hash="codes", limits=SynthesizerLimits(**LIMITS),
        encoder=encoder if has_encoder else None, side_sizes=lm.config.side_sizes,
    )  # fmt: skip
    synthesizer.start()
    return synthesizer


@pytest.fixture(scope="module")
def synthesizer():
    synthesizer = start()
    yield synthesizer
    synthesizer.close()


def test_speech_ends_when_the_pointer_reaches_the_end(synthesizer):
    speech = synthesize(synthesizer, speech_request("hello there", max_new_tokens=None))
    assert speech.finish_reason == "pointer_end"
    # At most two symbols per frame, including silence.
    assert speech.metrics.frames >= (2 + len("hello there")) / 2


def test_reference_becomes_a_speaker_embedding_without_prompt_columns(synthesizer):
    columns = synthesizer.batch.prefill_columns
    plain = synthesize(synthesizer, speech_request("hello"))
    n_plain = synthesizer.batch.prefill_columns - columns
    cloned = synthesize(synthesizer, speech_request("hello", references=(clip(),)))
    assert synthesizer.batch.prefill_columns - columns == 2 * n_plain
    assert not torch.equal(plain.codes.indices[:, :, :2], cloned.codes.indices[:, :, :2])
    vector = synthesizer.reference.run(speech_request(references=(clip(),)), None, None).conditioning
    named = synthesize(synthesizer, speech_request("hello"), VoiceConditioning(conditioning=vector))
    assert torch.equal(named.codes.indices, cloned.codes.indices)


def test_codes_in_a_batch_equal_codes_alone(synthesizer):
    requests = [speech_request("hello number " + "abcdefgh"[k] * k, seed=k, max_new_tokens=None) for k in range(8)]
    alone = [synthesize(synthesizer, request) for request in requests]
    streams = [synthesizer.stream(request, DEFAULT_VOICE) for request in requests]
    for one, stream in zip(alone, streams, strict=True):
        np.testing.assert_array_equal(one.codes.indices, stream.collect().codes.indices)


def test_reference_without_a_speaker_encoder_is_rejected():
    synthesizer = start(has_encoder=False)
    with pytest.raises(BadRequest, match="built-in voices"):
        synthesize(synthesizer, speech_request("hello", references=(clip(),)))
    assert synthesize(synthesizer, speech_request("hello")).metrics.frames > 0
    synthesizer.close()
