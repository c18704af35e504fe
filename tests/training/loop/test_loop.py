"""A whole run: resumes after interruptions, recovers from failures and logs them."""

import math
import shutil

import pytest
import torch

from backend.errors import BadSettings
from backend.training.codec.losses import SpectralDistance
from backend.training.loop import loop as loop_module
from backend.training.loop.loop import TrainingFailed
from backend.training.loop.run_log import read_rows
from backend.training.loop.snapshot import snapshots
from backend.weights import load_codec, save_codec
from tests.support.tiny_training import tiny_loop, tiny_recipe


def losses(out) -> list[float]:
    return [row["loss"] for row in read_rows(out) if row["kind"] == "step"]


def events(out) -> list[str]:
    return [row["event"] for row in read_rows(out) if row["kind"] == "event"]


@pytest.fixture(autouse=True)
def _exact_log(monkeypatch):
    # The log rounds; equality of runs is tested on every bit.
    monkeypatch.setattr("backend.training.loop.run_log._plain", lambda value: value)


class Killed(BaseException):
    """The process ends here, between any two operations, with no chance to tidy up."""


@pytest.mark.parametrize("killed_at", [2, 5, 9, 14])
def test_killed_run_resumes_with_the_same_losses(tmp_path, monkeypatch, killed_at):
    changes = {"adversarial": {"steps": 5}, "snapshot_minutes": 0.0}
    tiny_loop(tiny_recipe(tmp_path / "whole", **changes)).run()
    broken = tiny_loop(tiny_recipe(tmp_path / "broken", **changes))
    step = broken.task.step

    def dying_step(*arguments, **named):
        if broken.step == killed_at:
            raise Killed
        return step(*arguments, **named)

    monkeypatch.setattr(broken.task, "step", dying_step)
    with pytest.raises(Killed):
        broken.run()
    torch.manual_seed(999)  # another process starts with other random numbers
    tiny_loop(tiny_recipe(tmp_path / "broken", **changes)).run()
    assert losses(tmp_path / "broken") == losses(tmp_path / "whole")
    assert "resume" in events(tmp_path / "broken")


def test_resume_repeats_steps_after_an_older_snapshot(tmp_path):
    recipe = tiny_recipe(tmp_path / "run", snapshot_minutes=0.0)
    tiny_loop(recipe).run()
    whole = losses(tmp_path / "run")
    shutil.rmtree(snapshots(tmp_path / "run" / "snapshots")[-1])
    tiny_loop(recipe).run()
    assert losses(tmp_path / "run") == whole


def test_codebooks_are_enabled_after_warmup(tmp_path):
    recipe = tiny_recipe(tmp_path / "run")
    loop = tiny_loop(recipe)
    loop.run()
    rows = [row for row in read_rows(tmp_path / "run") if row["kind"] == "step"]
    assert [row["is_quantized"] for row in rows] == [False] * 4 + [True] * 8
    assert len(rows[-1]["perplexity"]) == 3 and "effective_dimension" in rows[-1]
    assert "quantize" in events(tmp_path / "run")


def test_planted_divergence_is_rolled_back(tmp_path, monkeypatch):
    recipe = tiny_recipe(tmp_path / "run", recon={"steps": 30}, snapshot_minutes=0.0)
    loop = tiny_loop(recipe)
    step, planted = loop.task.step, []

    def exploding_step(audio, phase_step, is_detailed=False):
        if loop.step == 20 and not planted:
            planted.append(True)
            with torch.no_grad():
                for weight in loop.task.codec.decoder.parameters():
                    weight.mul_(30.0)
        return step(audio, phase_step, is_detailed)

    monkeypatch.setattr(loop.task, "step", exploding_step)
    loop.run()
    rollback = next(row for row in read_rows(tmp_path / "run") if row.get("event") == "rollback")
    assert rollback["step"] == 20 and rollback["from_step"] == 21 and rollback["lr_scale"] == 0.5
    assert losses(tmp_path / "run")[-1] < 1.5 * losses(tmp_path / "run")[18]
    assert loop.lr_scale == 0.5


def test_repeated_divergence_ends_the_run(tmp_path, monkeypatch):
    recipe = tiny_recipe(tmp_path / "run", guard={"max_rollbacks": 2})
    loop = tiny_loop(recipe)
    step = loop.task.step
    monkeypatch.setattr(loop.task, "step", lambda *a, **k: step(*a, **k) | {"recon": torch.tensor(math.nan)})
    with pytest.raises(TrainingFailed, match="2 rollbacks"):
        loop.run()
    assert events(tmp_path / "run")[-1] == "stop"


def test_planted_collapse_is_detected_and_repaired(tmp_path, monkeypatch):
    recipe = tiny_recipe(
        tmp_path / "run", recon={"steps": 24}, guard={"min_perplexity_ratio": 0.15, "collapse_patience": 2}
    )
    loop = tiny_loop(recipe)
    step, planted = loop.task.step, []

    def collapsing_step(audio, phase_step, is_detailed=False):
        if loop.step == 8 and not planted:
            planted.append(True)
            for stage in loop.task.codec.quantizer.stages:
                stage.codebook.fill_(0.01)
                stage.update = lambda *_: None  # and nothing restarts its codes
            loop.task.codes.clear()
        return step(audio, phase_step, is_detailed)

    monkeypatch.setattr(loop.task, "step", collapsing_step)
    loop.run()
    rows = [row for row in read_rows(tmp_path / "run") if row["kind"] == "step"]
    assert min(rows[8]["perplexity"]) < 1.5
    assert "reseed" in events(tmp_path / "run")
    assert min(rows[-1]["perplexity"]) > 3.0


def test_non_finite_step_changes_no_weight(tmp_path, monkeypatch):
    loop = tiny_loop(tiny_recipe(tmp_path / "run", recon={"steps": 1}))
    loss = loop.task.spectral_loss.forward
    spoiled = lambda *given: SpectralDistance(*(x * math.nan for x in loss(*given)))  # noqa: E731
    monkeypatch.setattr(loop.task.spectral_loss, "forward", spoiled)
    loop._enter_phase()
    before = {name: weight.clone() for name, weight in loop.task.codec.named_parameters()}
    loop._one_step()
    assert all(torch.equal(weight, before[name]) for name, weight in loop.task.codec.named_parameters())
    assert loop.meters.flush()["skipped"] == 1.0


def test_codes_are_unchanged_by_the_adversarial_phase(tmp_path):
    exported = {}

    def export(codec, metadata):
        exported[metadata["trained_steps"]] = {name: x.clone() for name, x in codec.state_dict().items()}

    first = tiny_recipe(tmp_path / "run", recon={"steps": 8})
    tiny_loop(first, exporter=export).run()
    second = tiny_recipe(tmp_path / "run", recon={"steps": 8}, adversarial={"steps": 6})
    tiny_loop(second, exporter=export).run()
    before, after = exported[8], exported[14]
    frozen = [name for name in before if name.startswith(("encoder.", "quantizer."))]
    assert frozen and all(torch.equal(before[name], after[name]) for name in frozen)
    assert any(not torch.equal(before[name], after[name]) for name in before if name.startswith("decoder."))


def test_run_rejects_another_codec(tmp_path):
    recipe = tiny_recipe(tmp_path / "run", recon={"steps": 2})
    tiny_loop(recipe).run()
    other = recipe.model_copy(update={"codec": recipe.codec.model_copy(update={"name": "soundstream"})})
    with pytest.raises(BadSettings, match="another folder"):
        tiny_loop(other).run()


def test_stopped_run_exports_a_loadable_codec(tmp_path):
    recipe = tiny_recipe(tmp_path / "run")

    def export(codec, metadata):
        save_codec(tmp_path / "codec", codec, metadata)

    loop = tiny_loop(recipe, exporter=export)
    loop.wants_stop = True
    assert loop.run() == "stopped"
    assert loop.step == 1
    assert load_codec(tmp_path / "codec").spec == loop.task.spec


def test_only_log_boundaries_synchronize_with_the_device(tmp_path, monkeypatch):
    loop = tiny_loop(tiny_recipe(tmp_path / "run", log_every=4, recon={"steps": 12}))
    flushed_at = []
    flush = loop_module.MetricAverages.flush
    monkeypatch.setattr(
        loop_module.MetricAverages, "flush", lambda self: (flushed_at.append(loop.step), flush(self))[1]
    )
    loop.run()
    assert flushed_at == [4, 8, 12]
