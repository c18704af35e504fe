import json

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric

from backend.codec.harmonic_decoder import HarmonicDecoder
from backend.data import f0_tracks
from backend.errors import BadSettings
from backend.training.codec.harmonic_pass import true_slope
from backend.training.codec.harmonic_start import harmonic_codec
from backend.training.codec.harmonic_task import HarmonicTrainTask, bin_targets
from backend.training.loop.loop import Loop
from tests.support.tiny_training import tiny_clips, tiny_codec, tiny_recipe

FROZEN = ["encoder", "quantizer"]


@pytest.fixture
def steady_voice(monkeypatch):
    monkeypatch.setattr(f0_tracks, "track_f0", lambda samples, rate: np.full(len(samples) * 100 // rate + 1, 140.0))


def recipe(tmp_path, **changes):
    recon = {"steps": 6, "freeze": FROZEN, **changes.pop("recon", {})}
    harmonic = {"bin_windows": [64, 128], "skip_s": 0.02, **changes.pop("harmonic", {})}
    guard = {"max_loss_ratio": 1e6}  # six steps are too few to tell a spike by
    return tiny_recipe(tmp_path, init=tmp_path, recon=recon, harmonic=harmonic, guard=guard, **changes)


def task_of(config, noise_band_hz=None):
    codec = harmonic_codec(tiny_codec(), {"noise_band_hz": noise_band_hz}, None)
    return HarmonicTrainTask(config, codec, Fabric(accelerator="cpu", devices=1), tiny_clips())


@pytest.mark.parametrize("noise_band_hz", [None, (1000.0, 2000.0)])
def test_a_run_moves_the_decoder_and_leaves_the_codes(tmp_path, steady_voice, noise_band_hz):
    config = recipe(tmp_path, adversarial={"steps": 2})
    task = task_of(config, noise_band_hz)
    before = {name: tensor.clone() for name, tensor in task.codec.state_dict().items()}
    assert Loop(config, task.fabric, task).run() == "finished"
    after = task.average.module.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all(name.startswith("decoder.") for name in moved)
    assert {"decoder.offset_mix.weight", "decoder.f0_network.out.weight", "decoder.source_in.weight"} <= moved
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    steps = [values for values in logged if values["kind"] == "step"]
    assert all({"f0", "voicing", "slope", "pulse_phase", "spectrum", "compressed"} <= set(v) for v in steps)
    assert "feature" in steps[-1] and "feature" not in steps[0]
    assert all(torch.isfinite(tensor).all() for tensor in after.values() if tensor.is_floating_point())


def test_a_stopped_run_goes_on_where_it_was(tmp_path, steady_voice):
    whole = task_of(recipe(tmp_path / "a"))
    Loop(whole.recipe, whole.fabric, whole).run()
    first = task_of(recipe(tmp_path / "b", max_minutes=1e-9))
    Loop(first.recipe, first.fabric, first).run()
    second = task_of(recipe(tmp_path / "b"))
    Loop(second.recipe, second.fabric, second).run()
    for name, tensor in whole.codec.state_dict().items():
        assert torch.equal(tensor, second.codec.state_dict()[name]), name


def test_settings_that_would_move_the_codes_are_refused(tmp_path, steady_voice):
    config = recipe(tmp_path, recon={"freeze": ["encoder"]})
    with pytest.raises(BadSettings, match="quantizer"):
        task_of(config).start_phase("recon", 0, True)
    with pytest.raises(BadSettings, match="source=harmonic"):
        HarmonicTrainTask(recipe(tmp_path), tiny_codec(), Fabric(accelerator="cpu", devices=1), tiny_clips())


def test_a_grown_decoder_begins_with_the_plain_one(tmp_path):
    plain = tiny_codec().eval()
    grown = harmonic_codec(plain, {}, None)
    assert isinstance(grown.decoder, HarmonicDecoder) and grown.config["source"] == "harmonic"
    theirs = grown.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in plain.state_dict().items())
    assert torch.equal(theirs["decoder.f0_network.split.weight"], plain.state_dict()["decoder.split.weight"])


def test_weights_of_a_decoder_alone_are_taken_by_either_name(tmp_path):
    from safetensors.torch import save_file

    grown = harmonic_codec(tiny_codec().eval(), {}, None)
    alone = {name.removeprefix("decoder."): 0.5 * t for name, t in grown.state_dict().items() if name[:8] == "decoder."}
    flat = {name.replace("f0_network.narrow", "f0_in").replace("f0_network.", "f0_"): t for name, t in alone.items()}
    for names in (alone, flat):
        save_file({name: tensor.half() for name, tensor in names.items()}, tmp_path / "decoder.safetensors")
        taken = harmonic_codec(tiny_codec().eval(), {}, tmp_path / "decoder.safetensors").state_dict()
        assert all(torch.equal(taken[f"decoder.{name}"], t.half().float()) for name, t in alone.items())


def test_targets_are_around_the_pitch_and_slopes_are_known_inside_voices():
    targets = bin_targets(torch.tensor([7.0]))
    assert targets.sum().item() == pytest.approx(1.0) and 0.3 < targets.max() < 0.5
    slope, is_known = true_slope(torch.tensor([[0.0, 100.0, 101.0, 102.0, 0.0, 100.0, 300.0, 100.0]]))
    assert is_known[0].tolist() == [False, False, True, False, False, False, True, False]
    assert slope[0, 2].item() == pytest.approx(np.log2(102 / 100) / 2, abs=1e-5)
