"""Added voices whose words are known are fitted once, and speak so ever after."""

from dataclasses import replace

import torch

from backend.opt_engine import OptimizedEngine
from backend.pipeline.voice_fitter import VoiceFitter
from tests.pipeline.small_model import small_voice_model
from tests.pipeline.test_likeness import open_voices
from tests.pipeline.test_speaker import clip
from tests.test_opt_engine import settings_in

WORDS = "some words"


def engine_in(folder, key="key", opened=None):
    def opener(settings, device):
        model = open_voices(settings, device)

        def open_lm():
            if opened is not None:
                opened.append(key)
            return small_voice_model()[0]

        return replace(model, fitter=VoiceFitter(open_lm, model.tokenizer, key, 3))

    engine = OptimizedEngine(settings_in(folder), opener)
    engine.load()
    return engine


def vector(engine, name):
    return engine._loaded.voices.spoken(name).conditioning


def test_a_voice_is_fitted_when_it_is_added_and_never_again(tmp_path, monkeypatch):
    monkeypatch.setattr("backend.lm.voice_fit.OTHER_WORDS", 1e9)  # noise says nothing
    opened = []
    engine = engine_in(tmp_path, opened=opened)
    engine.add_voice("Cleo", clip(), WORDS, True)
    engine.add_voice("Mute", clip(), "", True)
    fitted, heard = vector(engine, "Cleo"), vector(engine, "Mute")
    assert opened == ["key"], "without words there is nothing to fit"
    assert not torch.allclose(fitted, heard, atol=0.05)
    record = engine._loaded.voices._store.find("Cleo")
    assert torch.equal(engine._loaded.voices._encoded(record).conditioning, heard)
    engine.close()
    again = engine_in(tmp_path, opened=opened)
    assert torch.equal(vector(again, "Cleo"), fitted) and opened == ["key"]
    again.close()
    other = engine_in(tmp_path, key="another model", opened=opened)
    assert torch.equal(vector(other, "Cleo"), heard), "a vector of another model says nothing"
    other.close()


def test_words_that_are_not_heard_leave_the_voice_as_the_encoder_hears_it(tmp_path):
    engine = engine_in(tmp_path)
    engine.add_voice("Cleo", clip(), "far too many words for so short a clip " * 9, True)
    engine.add_voice("Mute", clip(), "", True)
    assert torch.equal(vector(engine, "Cleo"), vector(engine, "Mute"))
    engine.close()
