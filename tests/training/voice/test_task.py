"""Voice training: losses, noise, resuming, validation and export."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from lightning.fabric import Fabric
from safetensors.torch import load_file

from backend.codec.registry import build_codec
from backend.data.token_shards import ShardSpec
from backend.errors import BadSettings
from backend.lm.config import DualARConfig
from backend.lm.generate import generate
from backend.lm.sampling_options import SamplingOptions
from backend.lm.text_pointer import pointed_prompt
from backend.training.loop.run_log import read_rows
from backend.training.presets import compose_preset, preset_names
from backend.training.presets.compose import FOLDER
from backend.training.voice.build import open_run
from backend.training.voice.config import VoiceConfig, read_voice_config
from backend.training.voice.validation import ValidationSamples
from backend.weights import codes_hash, save_codec
from backend.weights.checkpoint import load_checkpoint
from tests.support.tiny_training import RATE_HZ, tiny_codec
from tests.support.tiny_voice import SPEC, tiny_dataset, tiny_recipe, tiny_run


@pytest.fixture
def dataset(tmp_path):
    return tiny_dataset(tmp_path / "shards")


@pytest.fixture(autouse=True)
def _exact_log(monkeypatch):
    monkeypatch.setattr("backend.training.loop.run_log._plain", lambda value: value)


def entered(recipe, dataset) -> Any:
    task = tiny_run(recipe, dataset).task
    task.start_phase("lm", 0, is_fresh=True)
    return task


def losses(out) -> list[float]:
    return [row["loss"] for row in read_rows(out) if row["kind"] == "step"]


class Killed(BaseException):
    """The process ends here."""


def test_killed_run_resumes_with_the_same_losses(tmp_path, dataset, monkeypatch):
    changes = ("snapshot_minutes=0", "data.join_probability=0.5", "noise.frame_probability=0.2", "noise.dropout=0.1",
               "noise.no_speaker_probability=0.3", "loss.residual_share=0.5")  # fmt: skip
    tiny_run(tiny_recipe(tmp_path / "whole", *changes), dataset).run()
    broken = tiny_run(tiny_recipe(tmp_path / "broken", *changes), dataset)
    learn = broken.task.train_step

    def dying(phase_step, is_detailed):
        if phase_step == 3:
            raise Killed
        return learn(phase_step, is_detailed)

    monkeypatch.setattr(broken.task, "train_step", dying)
    with pytest.raises(Killed):
        broken.run()
    torch.manual_seed(999)
    tiny_run(tiny_recipe(tmp_path / "broken", *changes), dataset).run()
    assert losses(tmp_path / "broken") == losses(tmp_path / "whole")
    assert len(losses(tmp_path / "whole")) == 6


def test_text_and_padding_do_not_affect_the_loss(tmp_path, dataset):
    """Positions without a label, after the last label of a row, do not change the loss."""
    task = entered(tiny_recipe(tmp_path), dataset)
    batch = task.batches.next()
    plain = task.average.module(batch)
    padded = torch.ones(batch.tokens.shape[0] * batch.tokens.shape[2], dtype=torch.bool)
    padded[batch.at] = False
    is_padding = padded.reshape(len(batch.tokens), -1) & (batch.side.sum(-1) == 0)
    is_padding &= torch.arange(batch.tokens.shape[2]) > is_padding.shape[1] // 2
    assert is_padding.any()
    tokens = torch.where(is_padding[:, None], torch.tensor(5), batch.tokens)
    spoiled = task.average.module(batch._replace(tokens=tokens))
    assert torch.allclose(plain.main, spoiled.main) and torch.allclose(plain.residual, spoiled.residual)


def test_input_noise_keeps_text_and_labels(tmp_path, dataset):
    task = entered(tiny_recipe(tmp_path, "noise.frame_probability=0.5", "noise.residual_probability=0.5"), dataset)
    batch = task.batches.next()
    before = batch.tokens.clone()
    spoiled = task.spoil(batch.tokens)
    assert torch.equal(batch.tokens, before)
    is_frame = task.model.lm.is_frame(before)
    assert torch.equal(spoiled.transpose(1, 2)[~is_frame], before.transpose(1, 2)[~is_frame])
    assert torch.equal(task.model.lm.is_frame(spoiled), is_frame)
    changed = (spoiled != before).any(dim=1)[is_frame].float().mean()
    assert changed > 0.8
    assert torch.equal(
        spoiled[:, 0][is_frame] - spoiled[:, 1][is_frame], before[:, 0][is_frame] - before[:, 1][is_frame]
    )


def test_hidden_reference_does_not_affect_the_loss(tmp_path, dataset):
    task = entered(tiny_recipe(tmp_path), dataset)
    batch = task.batches.next()
    other = batch._replace(reference=(batch.reference + 7) % 32)
    model, hidden = task.average.module, torch.zeros(len(batch.reference), dtype=torch.bool)
    assert torch.equal(model(batch, hidden).main, model(other, hidden).main)
    assert not torch.equal(model(batch).main, model(other).main)


def test_speaker_dropout_has_the_configured_rate(tmp_path, dataset):
    task = entered(tiny_recipe(tmp_path, "noise.no_speaker_probability=1.0"), dataset)
    task.train_step(0)
    gradients = [p.grad for p in task.model.speaker.parameters()]
    assert all(gradient is None or not gradient.any() for gradient in gradients)


def test_speaker_noise_has_the_configured_level(tmp_path, dataset):
    heard = []
    for std in ("0.0", "0.5"):
        task = entered(tiny_recipe(tmp_path, f"noise.speaker_std={std}"), dataset)
        task._wrapped = lambda *args, model=task.model: heard.append(args[-1]) or model(*args)
        for step in range(8):
            task.train_step(step)
    sharp, blurred = heard[:8], torch.cat(heard[8:])
    assert sharp == [None] * 8
    assert blurred.std() == pytest.approx(0.5, rel=0.15) and abs(blurred.mean()) < 0.1


@pytest.mark.parametrize("preset", preset_names("lm"))
def test_every_preset_takes_a_step(tmp_path, preset):
    spec = type(SPEC)("tiny", "0" * 64, 24000, 960, (1024,) * 8)
    dataset = tiny_dataset(tmp_path / "shards", n=3, spec=spec)
    save_codec(tmp_path / "codec", build_codec("spectral", {}))
    settings = ["data.dir=x", f"out={tmp_path}", "data.n_validation=0", f"data.codec={tmp_path / 'codec'}"]
    recipe = read_voice_config(compose_preset("lm", preset, settings))
    task = entered(recipe, dataset)
    before = task.model.lm.layers[0].attention.wo.weight.clone()
    task.set_lr(0, 1.0)
    values = {name: value.item() for name, value in task.train_step(0, is_detailed=True).items()}
    assert math.isfinite(values["loss"]) and values["residual_7"] > 0
    assert abs(values["main"] - math.log(1024)) < 0.5
    assert not torch.equal(task.model.lm.layers[0].attention.wo.weight, before)


def test_base_preset_lists_every_setting():
    base = yaml.safe_load((FOLDER / "lm" / "_base.yaml").read_text())

    def check(model, values, path):
        assert set(values) == set(model.model_fields), path
        for name, field in model.model_fields.items():
            if isinstance(field.annotation, type) and hasattr(field.annotation, "model_fields"):
                check(field.annotation, values[name], f"{path}{name}.")

    check(VoiceConfig, base, "")


def test_config_derived_from_data_is_rejected(tmp_path, dataset):
    with pytest.raises(BadSettings, match="num_codebooks"):
        tiny_run(tiny_recipe(tmp_path, "+model.config.num_codebooks=3"), dataset)


def test_validation_texts_are_held_out(tmp_path, dataset):
    task = entered(tiny_recipe(tmp_path, "data.n_validation=3"), dataset)
    held = {item.text for item in task.dataset.validation}
    assert len(held) == 3
    assert not held & {dataset[i].text for i in task.dataset.learned}
    values = task.validate(tmp_path / "audition")
    assert values["validation_loss"] > 0 and len(values["validation_residual_accuracy"]) == 2
    assert 0 < values["duration_ratio"] <= 3


def test_three_utterances_are_memorized_and_generated(tmp_path):
    dataset = tiny_dataset(tmp_path / "shards", n=3)
    loop = tiny_run(tiny_recipe(tmp_path / "run", "train.steps=220", "log_every=20"), dataset)
    loop.run()
    last = [row for row in read_rows(tmp_path / "run") if row["kind"] == "step"][-1]
    assert last["main_accuracy"] > 0.98 and last["residual_accuracy"] > 0.98 and last["advance_accuracy"] > 0.98
    listen = loop.task.listen
    assert isinstance(listen, ValidationSamples)
    for item, (said, _) in zip(dataset, listen.speak(loop.task.average.module, list(dataset)), strict=True):
        assert said.finish_reason == "pointer_end"
        assert said.codes.shape == item.codes.shape
        assert (said.codes.numpy() == item.codes).mean() > 0.95


@pytest.mark.parametrize(("storage", "worst"), [("fp16", 1e-3), ("int8", 4e-3)])
def test_exported_weights_round_trip(tmp_path, dataset, storage, worst):
    run = tmp_path / "run"
    loop = tiny_run(tiny_recipe(run, "export.license=free", f"export.storage={storage}", "train.steps=1"), dataset)
    loop.run()
    folder = run / "voice"
    manifest = json.loads((folder / "config.json").read_text())
    assert manifest["trained_steps"] == 1 and DualARConfig.from_dict(manifest) == loop.task.model.lm.config
    assert not DualARConfig.from_dict(manifest).unknown_keys
    again = tiny_run(tiny_recipe(tmp_path / "again", f"init={folder}"), dataset).task.model.state_dict()
    other = tiny_run(
        tiny_recipe(tmp_path / "other", f"init={folder}", "model.is_speaker_fresh=true"), dataset
    ).task.model.state_dict()  # fmt: skip
    same = {name.partition(".")[0] for name in again if torch.equal(again[name], other[name])}
    assert same == {"lm", "speaker"}  # norms of the speaker encoder begin alike
    assert not torch.equal(again["speaker.out.weight"], other["speaker.out.weight"])
    assert all(torch.equal(again[name], other[name]) for name in again if name.startswith("lm."))
    trained = loop.task.average.module
    largest = {name: tensor.abs().max() for name, tensor in trained.state_dict().items()}
    assert all((again[name] - tensor).abs().max() <= worst * max(largest[name], 1)
               for name, tensor in trained.state_dict().items())  # fmt: skip
    voices = sorted(path.stem for path in (folder / "voices").glob("*.json"))
    assert voices == ["s0", "s1", "s2"]
    assert json.loads((folder / "voices" / "s0.json").read_text())["license"] == "free"
    vector = load_file(folder / "voices" / "s0.safetensors")["conditioning"]
    assert vector.shape == (8,) and 0.5 < vector.square().mean() <= 1.01


def test_export_is_a_checkpoint_that_generates_speech(tmp_path):
    """Everything of a voice in one folder: what it says there is what it said in training."""
    codec = tiny_codec()
    save_codec(tmp_path / "codec", codec)
    spec = ShardSpec("tiny", codes_hash(tmp_path / "codec"), RATE_HZ, 64, codec.spec.codebook_sizes)
    tiny_dataset(tmp_path / "shards", n=4, spec=spec)
    settings = (f"data.dir={tmp_path / 'shards'}", f"data.codec={tmp_path / 'codec'}", "train.steps=30", "log_every=10",
                "data.n_validation=1", "audition.n_sentences=2")  # fmt: skip
    loop = open_run(tiny_recipe(tmp_path / "run", *settings), Fabric(accelerator="cpu", devices=1))
    loop.run()
    assert len(list((tmp_path / "run" / "audition").glob("*.wav"))) == 2  # the sentence and its teacher
    shipped = load_checkpoint(tmp_path / "run" / "voice")
    assert shipped.tokenizer.n_vocab == shipped.lm.spec.vocab_size and not shipped.ignored
    assert shipped.codec.spec == codec.spec
    assert shipped.tokenizer.encode("The end.") == shipped.tokenizer.symbol_ids("ði ˈɛnd."), (
        "words are read, not spelled"
    )
    item = loop.task.dataset.validation[0]
    tokens = torch.zeros(1 + len(spec.codebook_sizes), len(item.symbols) + 2, dtype=torch.long)
    symbols = loop.task.dataset.reader.passage([item]).symbols
    tokens[0] = torch.from_numpy(symbols)
    said = []
    for lm in (loop.task.average.module.lm, shipped.lm):
        prompt, pointer = pointed_prompt(tokens, symbols, lm.config.side_sizes, torch.ones(8))
        said.append(generate(lm, [prompt], SamplingOptions.greedy(), max_new_tokens=60, pointers=[pointer])[0].codes)
    n = min(codes.shape[1] for codes in said)
    assert (said[0][:, :n] == said[1][:, :n]).float().mean() > 0.8  # float16 moves few choices


def test_speaker_embeddings_ignore_padding(tmp_path, dataset):
    speaker = entered(tiny_recipe(tmp_path), dataset).average.module.speaker
    short = torch.from_numpy(np.random.default_rng(0).integers(0, 32, (1, 3, 9)))
    padded = torch.nn.functional.pad(short, (0, 6), value=3)
    assert torch.allclose(speaker(padded, torch.tensor([9])), speaker(short), atol=1e-5)
