"""Adaptation of added voices with a transcript."""

import pytest
import torch

from backend.atomic_file import write_atomically
from backend.lm.base import SamplerState
from backend.lm.sampling_options import SamplingOptions
from backend.lm.spec import StepOutput
from backend.lm.text_pointer import pointed_prompt
from backend.pipeline.speech.voice_library import _adaptation_key
from tests.support.small_engine import adapting_engine, clip

TRANSCRIPT = "some words"


def conditioning(engine, name):
    return engine._loaded.voices.conditioning(name)


@pytest.fixture(autouse=True)
def _accept_any_transcript(monkeypatch):
    monkeypatch.setattr("backend.lm.voice_adaptation.MAX_DISTANCE", 1e9)


def test_voice_is_adapted_once_when_it_is_added(tmp_path):
    loads = []
    engine = adapting_engine(tmp_path, loads=loads)
    engine.add_voice("Cleo", clip(), TRANSCRIPT, True)
    engine.add_voice("Mute", clip(), "", True)
    adapted, encoded = conditioning(engine, "Cleo"), conditioning(engine, "Mute")
    assert loads == ["key", "key"], "one load to adapt, one to synthesize; no adaptation without a transcript"
    assert not torch.allclose(adapted.conditioning, encoded.conditioning, atol=0.05)
    assert adapted.frame_sampler is not None and encoded.frame_sampler is None
    assert conditioning(engine, "Cleo").frame_sampler is adapted.frame_sampler, "requests with the same voice share it"
    record = engine._loaded.voices._store.find("Cleo")
    assert torch.equal(engine._loaded.voices._encoded(record).conditioning, encoded.conditioning)
    engine.close()
    again = adapting_engine(tmp_path, loads=loads)
    assert torch.equal(conditioning(again, "Cleo").conditioning, adapted.conditioning)
    assert conditioning(again, "Cleo").key == adapted.key and len(loads) == 3
    again.close()
    other = adapting_engine(tmp_path, key="another model", loads=loads)
    assert conditioning(other, "Cleo").frame_sampler is None, "an adaptation of another model is not used"
    assert torch.equal(conditioning(other, "Cleo").conditioning, encoded.conditioning)
    other.close()


def test_adapted_voice_samples_with_its_own_fast_stack(tmp_path):
    """With the embedding alone, the model's fast stack gives other codes."""
    engine = adapting_engine(tmp_path)
    engine.add_voice("Cleo", clip(), TRANSCRIPT, True)
    voice = conditioning(engine, "Cleo")
    lm = engine._loaded.synthesizer.lm_worker.lm
    tokens = torch.zeros(lm.spec.n_rows, 8, dtype=torch.long)
    tokens[0] = torch.arange(2, 10)
    prompt, pointer = pointed_prompt(tokens, tokens[0].numpy(), lm.config.side_sizes, voice.conditioning)

    def codes(frame_samplers):
        samplers = [
            SamplerState(SamplingOptions(), 7, pointer=pointer.restart(), frame_sampler=frame_sampler)
            for frame_sampler in frame_samplers
        ]
        with torch.inference_mode():
            state, rows = lm.init_state(len(frame_samplers)), range(len(frame_samplers))
            outs = [lm.prefill(prompt, state, row) for row in rows]
            aux = {name: torch.cat([out.aux[name] for out in outs]) for name in outs[0].aux}
            out = StepOutput(torch.cat([o.logits for o in outs]), torch.cat([o.hidden for o in outs]), aux)
            return lm.sample(out, samplers, state, rows)

    adapted, models = codes([voice.frame_sampler])[0], codes([None])[0]
    assert adapted[1] == models[1] and not torch.equal(adapted[2:], models[2:]), (
        "the first code comes from the slow stack"
    )
    assert torch.equal(
        codes([None, voice.frame_sampler, None, voice.frame_sampler]), torch.stack([models, adapted, models, adapted])
    )
    engine.close()


def test_voice_is_added_when_its_adaptation_cannot_be_written(tmp_path, monkeypatch):
    def write_until_full(path, content):
        if "fitted" in path.name:
            raise OSError(28, "No space left on device")
        write_atomically(path, content)

    engine = adapting_engine(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("backend.storage.voices.write_atomically", write_until_full)
        engine.add_voice("Cleo", clip(), TRANSCRIPT, True)
    assert conditioning(engine, "Cleo").frame_sampler is None and [
        v.name for v in engine.voices() if not v.is_builtin
    ] == ["Cleo"]
    assert not [path for path in tmp_path.rglob("*") if "fitted" in path.name]
    engine.close()


@pytest.mark.parametrize("damage", ["shape", "name"])
def test_adaptation_of_another_model_is_not_used(tmp_path, damage):
    engine = adapting_engine(tmp_path)
    engine.add_voice("Cleo", clip(), TRANSCRIPT, True)
    library = engine._loaded.voices
    record = library._store.find("Cleo")
    key = _adaptation_key(record, library._adapter)
    tensors = library._store.adaptation(record, key)
    tensor = tensors.pop("fast_norm.weight")
    tensors |= {"fast_norm.weight": tensor[:-1]} if damage == "shape" else {"slow_norm.weight": tensor}
    library._store.keep_adaptation(record, tensors, key)
    engine.close()
    again = adapting_engine(tmp_path)
    assert conditioning(again, "Cleo").frame_sampler is None
    again.close()


def test_wrong_transcript_leaves_the_voice_unadapted(tmp_path):
    engine = adapting_engine(tmp_path)
    engine.add_voice("Cleo", clip(), "far too many words for so short a clip " * 9, True)
    engine.add_voice("Mute", clip(), "", True)
    assert torch.equal(conditioning(engine, "Cleo").conditioning, conditioning(engine, "Mute").conditioning)
    engine.close()
