import pytest
import torch

from backend.errors import BadCheckpoint
from backend.training.loop import snapshot as module
from backend.training.loop.snapshot import load_snapshot, save_snapshot, snapshots

STATE = {
    "step": 3, "lr": 0.1 + 0.2, "names": ["a", "b"], "none": None, "flag": True, "big": 2**120,
    "optimizer": {"state": {0: {"m": torch.randn(3), "step": torch.tensor(4.0)}, 11: {"m": torch.zeros(0)}}},
    "rng": torch.get_rng_state(), "half": torch.ones(2, dtype=torch.bfloat16), "on": torch.tensor(True),
}  # fmt: skip


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return a == b


def test_round_trip_is_exact(tmp_path):
    assert same(load_snapshot(save_snapshot(tmp_path, 3, STATE)), STATE)


def test_only_the_last_snapshots_are_kept(tmp_path):
    for step in (5, 20, 100):
        save_snapshot(tmp_path, step, {"step": step}, keep=2)
    assert [load_snapshot(path)["step"] for path in snapshots(tmp_path)] == [20, 100]


def test_saving_a_step_again_replaces_it(tmp_path):
    save_snapshot(tmp_path, 5, {"lr": 1.0})
    save_snapshot(tmp_path, 5, {"lr": 0.5})
    assert [load_snapshot(path)["lr"] for path in snapshots(tmp_path)] == [0.5]


@pytest.mark.parametrize("n_writes", [0, 1])
def test_interrupted_save_keeps_the_previous_snapshot(tmp_path, monkeypatch, n_writes):
    save_snapshot(tmp_path, 1, STATE)
    write, written = module._write, []

    def dying_write(path, content):
        if len(written) == n_writes:
            path.write_bytes(content[: len(content) // 2])
            raise KeyboardInterrupt
        written.append(path)
        write(path, content)

    monkeypatch.setattr(module, "_write", dying_write)
    with pytest.raises(KeyboardInterrupt):
        save_snapshot(tmp_path, 2, STATE)
    monkeypatch.undo()
    assert same(load_snapshot(snapshots(tmp_path)[-1]), STATE)
    assert [path.name for path in snapshots(tmp_path)] == ["step-000000001"]
    save_snapshot(tmp_path, 2, STATE)
    assert len(snapshots(tmp_path)) == 2


@pytest.mark.parametrize("file", ["state.safetensors", "state.json"])
@pytest.mark.parametrize("damage", [lambda x: x[:-7], lambda x: x[:40] + b"\0" + x[41:]])
def test_damaged_snapshot_is_rejected(tmp_path, file, damage):
    folder = save_snapshot(tmp_path, 1, STATE)
    (folder / file).write_bytes(damage((folder / file).read_bytes()))
    with pytest.raises(BadCheckpoint, match="previous one"):
        load_snapshot(folder)


def test_changed_number_is_detected(tmp_path):
    folder = save_snapshot(tmp_path, 1, STATE)
    path = folder / "state.json"
    path.write_text(path.read_text().replace("0.30000000000000004", "0.40000000000000004"))
    with pytest.raises(BadCheckpoint):
        load_snapshot(folder)
