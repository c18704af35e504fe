"""Added voices whose words are known are fitted once, and speak so ever after."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from backend.lm.base import SamplerState
from backend.lm.sampling_options import SamplingOptions
from backend.lm.spec import StepOutput
from backend.lm.text_pointer import pointed_prompt
from backend.opt_engine import OptimizedEngine
from backend.pipeline.speech.voice_adaptation import VoiceAdapter
from tests.pipeline.speech.test_synthesizer import clip
from tests.pipeline.test_likeness import open_voices
from tests.support.small_model import small_voice_model
from tests.test_opt_engine import settings_in

WORDS = "some words"


def open_drawer(lm):
    lm.keep_fast_only()
    return lm


def engine_in(folder, key="key", opened=None):
    def opener(settings, device):
        model = open_voices(settings, device)

        def open_lm():
            if opened is not None:
                opened.append(key)
            return small_voice_model()[0]

        return replace(model, fitter=VoiceAdapter(open_lm, open_drawer, model.tokenizer, key, 3))

    engine = OptimizedEngine(settings_in(folder), opener)
    engine.load()
    return engine


def spoken(engine, name):
    return engine._loaded.voices.spoken(name)


@pytest.fixture(autouse=True)
def _noise_says_nothing(monkeypatch):
    monkeypatch.setattr("backend.lm.voice_adaptation.OTHER_WORDS", 1e9)


def test_a_voice_is_fitted_when_it_is_added_and_never_again(tmp_path):
    opened = []
    engine = engine_in(tmp_path, opened=opened)
    engine.add_voice("Cleo", clip(), WORDS, True)
    engine.add_voice("Mute", clip(), "", True)
    fitted, heard = spoken(engine, "Cleo"), spoken(engine, "Mute")
    assert opened == ["key", "key"], "once to be fitted, once to be spoken; without words there is nothing to fit"
    assert not torch.allclose(fitted.conditioning, heard.conditioning, atol=0.05)
    assert fitted.frame_sampler is not None and heard.frame_sampler is None
    assert spoken(engine, "Cleo").frame_sampler is fitted.frame_sampler, "voices that speak together share it"
    record = engine._loaded.voices._store.find("Cleo")
    assert torch.equal(engine._loaded.voices._encoded(record).conditioning, heard.conditioning)
    engine.close()
    again = engine_in(tmp_path, opened=opened)
    assert torch.equal(spoken(again, "Cleo").conditioning, fitted.conditioning)
    assert spoken(again, "Cleo").key == fitted.key and len(opened) == 3
    again.close()
    other = engine_in(tmp_path, key="another model", opened=opened)
    assert spoken(other, "Cleo").frame_sampler is None, "what was fitted to another model says nothing"
    assert torch.equal(spoken(other, "Cleo").conditioning, heard.conditioning)
    other.close()


def test_a_fitted_voice_speaks_with_its_own_fast_stack(tmp_path):
    """Not with that of the model: the vector alone gives other codes."""
    engine = engine_in(tmp_path)
    engine.add_voice("Cleo", clip(), WORDS, True)
    voice = spoken(engine, "Cleo")
    lm = engine._loaded.speaker.lm_worker.lm
    tokens = torch.zeros(lm.spec.n_rows, 8, dtype=torch.long)
    tokens[0] = torch.arange(2, 10)
    prompt, pointer = pointed_prompt(tokens, tokens[0].numpy(), lm.config.side_sizes, voice.conditioning)

    def codes(frame_samplers):
        samplers = [
            SamplerState(SamplingOptions(), 7, pointer=pointer.restarted(), frame_sampler=frame_sampler)
            for frame_sampler in frame_samplers
        ]
        with torch.inference_mode():
            state, rows = lm.init_state(len(frame_samplers)), range(len(frame_samplers))
            outs = [lm.prefill(prompt, state, row) for row in rows]
            aux = {name: torch.cat([out.aux[name] for out in outs]) for name in outs[0].aux}
            out = StepOutput(torch.cat([o.logits for o in outs]), torch.cat([o.hidden for o in outs]), aux)
            return lm.sample(out, samplers, state, rows)

    own, models = codes([voice.frame_sampler])[0], codes([None])[0]
    assert own[1] == models[1] and not torch.equal(own[2:], models[2:]), "the first code is the slow stack's"
    assert torch.equal(
        codes([None, voice.frame_sampler, None, voice.frame_sampler]), torch.stack([models, own, models, own])
    )
    engine.close()


def test_a_voice_that_cannot_be_kept_fitted_is_there_all_the_same(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    engine = engine_in(tmp_path)
    write = Path.write_bytes
    with monkeypatch.context() as patch:
        patch.setattr(
            Path, "write_bytes", lambda path, content: (full if "fitted" in path.name else write)(path, content)
        )
        engine.add_voice("Cleo", clip(), WORDS, True)
    assert spoken(engine, "Cleo").frame_sampler is None and [v.name for v in engine.voices() if not v.is_builtin] == [
        "Cleo"
    ]
    assert not [path for path in tmp_path.rglob("*") if "fitted" in path.name]
    engine.close()


@pytest.mark.parametrize("damage", ["shape", "name"])
def test_a_file_that_is_not_of_this_model_is_not_spoken(tmp_path, damage):
    engine = engine_in(tmp_path)
    engine.add_voice("Cleo", clip(), WORDS, True)
    book = engine._loaded.voices
    record = book._store.find("Cleo")
    key = book._fitted_to(record, book._fitter)
    kept = book._store.fitted(record, key)
    tensor = kept.pop("fast_norm.weight")
    kept |= {"fast_norm.weight": tensor[:-1]} if damage == "shape" else {"slow_norm.weight": tensor}
    book._store.keep_fitted(record, kept, key)
    engine.close()
    again = engine_in(tmp_path)
    assert spoken(again, "Cleo").frame_sampler is None
    again.close()


def test_words_that_are_not_heard_leave_the_voice_as_the_encoder_hears_it(tmp_path):
    engine = engine_in(tmp_path)
    engine.add_voice("Cleo", clip(), "far too many words for so short a clip " * 9, True)
    engine.add_voice("Mute", clip(), "", True)
    assert torch.equal(spoken(engine, "Cleo").conditioning, spoken(engine, "Mute").conditioning)
    engine.close()
