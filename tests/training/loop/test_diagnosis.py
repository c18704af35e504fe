import json

import pytest

from backend.errors import BadSettings
from backend.training.loop.diagnosis import diagnose
from backend.training.loop.loop import TrainingFailed
from tests.support.tiny_training import tiny_loop, tiny_recipe


def write_log(run, n_rows=30, events=(), **changes):
    """A healthy log in which the values in `changes` (functions of the row's number) are put."""
    run.mkdir(exist_ok=True)
    rows = []
    for i in range(n_rows):
        row = {
            "kind": "step", "step": 25 * i, "phase": "recon", "is_quantized": True, "recon": 5.0 + 10.0 / (i + 1),
            "skipped": 0.0, "effective_dimension": 12.0, "perplexity": [600.0, 700.0], "dead_fraction": [0.05, 0.02],
            "codebook_sizes": [1024, 1024], "n_frames_seen": 16384,
        }  # fmt: skip
        rows.append(row | {name: value(i) for name, value in changes.items()})
    rows += [{"kind": "event", "step": 25 * n_rows, **event} for event in events]
    (run / "log.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return run


ADVERSARIAL = {"phase": lambda i: "adversarial", "d_loss": lambda i: 1.5}


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "healthy"),
        ({"recon": lambda i: 5.0 if i < 20 else 15.0}, "diverged"),
        ({"recon": lambda i: 5.0 if i < 29 else None}, "diverged"),
        ({"skipped": lambda i: 0.0 if i < 25 else 0.5}, "diverged"),
        ({"perplexity": lambda i: [600.0, 700.0] if i < 20 else [600.0, 4.0]}, "collapsed"),
        ({"dead_fraction": lambda i: [0.9, 0.1]}, "collapsed"),
        ({"effective_dimension": lambda i: 1.2}, "collapsed"),
        (ADVERSARIAL | {"d_right": lambda i: 0.99}, "discriminator too strong"),
        (ADVERSARIAL | {"d_right": lambda i: 0.7}, "healthy"),
    ],
)
def test_planted_state_is_diagnosed(tmp_path, changes, state):
    verdict = diagnose(write_log(tmp_path / "run", **changes))
    assert verdict.state == state
    assert verdict.numbers["step"] == 25 * 29


def test_loss_jump_between_phases_is_no_divergence(tmp_path):
    run = write_log(tmp_path / "run", is_quantized=lambda i: i >= 20, recon=lambda i: 4.0 if i < 20 else 12.0 - 0.1 * i)
    assert diagnose(run).state == "healthy"


def test_diagnosis_contains_the_numbers(tmp_path):
    verdict = diagnose(write_log(tmp_path / "run", perplexity=lambda i: [600.0, 4.0]))
    assert "codebook 2" in verdict.reason
    assert verdict.numbers["min_perplexity"] == 4.0
    assert verdict.numbers["min_used_ratio"] == pytest.approx(4 / 1024)


def test_run_after_its_last_rollback_is_diverged(tmp_path):
    run = write_log(tmp_path / "run", events=[{"event": "stop", "reason": "diverged"}])
    assert diagnose(run).state == "diverged"


def test_real_runs_are_diagnosed(tmp_path, monkeypatch):
    import torch

    recipe = tiny_recipe(tmp_path / "run", recon={"steps": 30}, guard={"max_rollbacks": 0})
    tiny_loop(recipe).run()
    assert diagnose(tmp_path / "run").state == "healthy"
    broken = tiny_loop(recipe.model_copy(update={"out": tmp_path / "broken"}))
    step = broken.task.step

    def exploding(*arguments, **named):
        factor = 1.0 if broken.step < 20 else 100.0
        values = step(*arguments, **named)
        return values | {"recon": values["recon"] * torch.tensor(factor)}

    monkeypatch.setattr(broken.task, "step", exploding)
    with pytest.raises(TrainingFailed):
        broken.run()
    assert diagnose(tmp_path / "broken").state == "diverged"


def test_folder_without_a_log_is_rejected(tmp_path):
    with pytest.raises(BadSettings, match="a started run"):
        diagnose(tmp_path)
