"""Timestamps from the pointer's path, checked against the audio."""

import numpy as np
import pytest

from backend.lm.text_pointer import Pointer
from backend.pipeline.speech.synthesizer import Synthesizer, SynthesizerLimits
from backend.pipeline.speech.timestamps import SoundSpan, timed_sentences
from backend.pipeline.speech.voice_conditioning import VoiceConditioning
from backend.runtime.request import SpeechRequest
from backend.runtime.session import SpokenSegment
from backend.text.phonemes.word_spans import WordSpan
from tests.support.small_model import small_voice_model

HOP, RATE_HZ, LAG = 160, 8000, 20


def test_pointer_records_the_symbol_of_each_frame():
    pointer = Pointer([5, 6, 7, 8], 3)
    for step in (0, 1, 0, 2, 1):
        pointer.advance(step)
    assert pointer.path == [0, 0, 1, 1, 3]
    assert pointer.restart().path == []


def segment(text, path, speed=1.0):
    return SpokenSegment(0.0, np.zeros((4, len(path)), np.int64), speed, text, np.array(path))


def test_word_timestamps_match_their_frames():
    # Symbols: silence 0, "ab" 1-2, space 3, "c" 4, full stop 5, silence 6.
    one = segment("ab c.", [0, 0, 1, 1, 2, 3, 4, 4, 5, 6])
    sound = SoundSpan(4000, 10 * HOP - LAG, 1.0, HOP, LAG)
    (sentence,) = timed_sentences([one], [sound], RATE_HZ, lambda text: [WordSpan("ab", 0, 2), WordSpan("c.", 3, 4)])
    assert (sentence.start_s, sentence.end_s) == (0.5, (4000 + 10 * HOP - LAG) / RATE_HZ)
    edges = [edge for word in sentence.words for edge in (word.start_s, word.end_s)]
    assert edges == pytest.approx([(4000 + frame * HOP - LAG) / RATE_HZ for frame in (2, 5, 6, 8)])


def test_skipped_symbols_take_no_time_and_speed_scales_timestamps():
    one = segment("ab c.", [0, 0, 4, 4], speed=2.0)
    sound = SoundSpan(0, 310, 2.0, HOP, LAG)
    (sentence,) = timed_sentences([one], [sound], RATE_HZ, lambda text: [WordSpan("ab", 0, 2), WordSpan("c.", 3, 4)])
    first, second = sentence.words
    assert first.start_s == first.end_s == second.start_s == pytest.approx((2 * HOP - LAG) / 2 / RATE_HZ)
    assert second.end_s == pytest.approx(310 / RATE_HZ)


def test_sentences_in_a_segment_are_contiguous():
    one = segment("a. b.", [0, 1, 2, 3, 4, 4, 5, 6])
    sound = SoundSpan(0, 8 * HOP - LAG, 1.0, HOP, LAG)
    first, second = timed_sentences(
        [one], [sound], RATE_HZ, lambda text: [WordSpan("a.", 0, 1), WordSpan("b.", 3, 4)]
    )  # fmt: skip
    assert (first.text, second.text) == ("a.", "b.")
    assert first.end_s == second.start_s == second.words[0].start_s == pytest.approx((4 * HOP - LAG) / RATE_HZ)


@pytest.fixture(scope="module")
def synthesizer():
    lm, codec, tokenizer, encoder = small_voice_model()
    limits = SynthesizerLimits(n_rows=4, max_waiting=8, max_frames=1000, cache_entries=20, chunk_samples=1000)
    synthesizer = Synthesizer(
        lm, codec, tokenizer, model_key="tiny", codes_hash="codes", limits=limits, encoder=encoder,
        side_sizes=(len(tokenizer.symbols), len(tokenizer.symbols), 6),
    )  # fmt: skip
    synthesizer.start()
    yield synthesizer
    synthesizer.close()


@pytest.mark.parametrize("speed", [1.0, 1.5])
def test_segment_timestamps_match_the_audio(synthesizer, speed):
    text = "Every word is here. " * 4
    request = SpeechRequest(text=text, seed=3, chunk_length=20, speed=speed, use_memory_cache=False)
    stream = synthesizer.begin(request, VoiceConditioning())
    speech = stream.collect()
    sentences = stream.sentences
    assert len(sentences) == 4 and all(len(sentence.words) == 4 for sentence in sentences)
    assert sentences[0].start_s == 0.0
    assert sentences[-1].end_s == pytest.approx(speech.waveform.duration_s)
    sounds = stream._synthesis.segments
    overlap = stream._synthesis._joiner.overlap_samples
    for sound, kept, after in zip(sounds, stream._session.source.spoken, sounds[1:], strict=False):
        assert sound.n_samples == round((kept.codes.shape[1] * HOP - LAG) / speed)
        assert after.start_sample == sound.start_sample + sound.n_samples - overlap
    edges = [edge for sentence in sentences for word in sentence.words for edge in (word.start_s, word.end_s)]
    assert edges == sorted(edges) and edges[0] >= 0 and edges[-1] <= speech.waveform.duration_s


def test_cached_speech_has_the_same_timestamps(synthesizer):
    request = SpeechRequest(text="The same words again.", seed=5)
    streams = [synthesizer.begin(request, VoiceConditioning()) for _ in range(1)]
    streams[0].collect()
    streams.append(synthesizer.begin(request, VoiceConditioning()))
    streams[1].collect()
    assert "codes" in streams[1].metrics.cache_hits
    assert streams[0].sentences == streams[1].sentences and streams[0].sentences[0].words
