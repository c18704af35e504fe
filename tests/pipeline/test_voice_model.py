"""The built-in voice's family: a pointer that decides the end, and voices as vectors."""

import numpy as np
import pytest
import torch

from backend.errors import BadRequest
from backend.pipeline.speech.synthesizer import Synthesizer, SynthesizerLimits
from backend.pipeline.speech.voice_conditioning import VoiceConditioning
from tests.pipeline.speech.test_synthesizer import LIMITS, NOBODY, ask, clip, say
from tests.support.small_model import small_voice_model


def start(has_encoder=True):
    lm, codec, tokenizer, encoder = small_voice_model()
    speaker = Synthesizer(
        lm, codec, tokenizer, model_key="tiny", codes_hash="codes", limits=SynthesizerLimits(**LIMITS),
        encoder=encoder if has_encoder else None, side_sizes=lm.config.side_sizes,
    )  # fmt: skip
    speaker.start()
    return speaker


@pytest.fixture(scope="module")
def speaker():
    speaker = start()
    yield speaker
    speaker.close()


def test_speech_ends_where_its_text_does(speaker):
    speech = say(speaker, ask("hello there", max_new_tokens=None))
    assert speech.finish_reason == "pointer_end"
    # At most two symbols a frame, silences included.
    assert speech.metrics.frames >= (2 + len("hello there")) / 2


def test_a_reference_becomes_a_vector_and_no_prompt(speaker):
    columns = speaker.batch.prefill_columns
    plain = say(speaker, ask("hello"))
    n_plain = speaker.batch.prefill_columns - columns
    cloned = say(speaker, ask("hello", references=(clip(),)))
    assert speaker.batch.prefill_columns - columns == 2 * n_plain
    assert not torch.equal(plain.codes.indices[:, :, :2], cloned.codes.indices[:, :, :2])
    vector = speaker.reference.run(ask(references=(clip(),)), None, None).conditioning
    named = say(speaker, ask("hello"), VoiceConditioning(conditioning=vector))
    assert torch.equal(named.codes.indices, cloned.codes.indices)


def test_eight_texts_at_once_get_the_codes_they_get_alone(speaker):
    requests = [ask("hello number " + "abcdefgh"[k] * k, seed=k, max_new_tokens=None) for k in range(8)]
    alone = [say(speaker, request) for request in requests]
    streams = [speaker.stream(request, NOBODY) for request in requests]
    for one, stream in zip(alone, streams, strict=True):
        np.testing.assert_array_equal(one.codes.indices, stream.collect().codes.indices)


def test_a_model_without_an_encoder_says_that_it_cannot_clone():
    speaker = start(has_encoder=False)
    with pytest.raises(BadRequest, match="own voices"):
        say(speaker, ask("hello", references=(clip(),)))
    assert say(speaker, ask("hello")).metrics.frames > 0
    speaker.close()
