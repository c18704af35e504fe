import pickle

import pytest
import torch
from safetensors.torch import save_file

from backend.errors import BadCheckpoint
from backend.weights.tensor_files import read_tensors

TENSORS = {"a.weight": torch.arange(600.0).reshape(20, 30), "b": torch.tensor([1, 2])}


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("wrap", [dict, lambda t: {"state_dict": t, "epoch": 3}, lambda t: {"model": t}])
@pytest.mark.parametrize("is_zip", [True, False])
def test_torch_files_give_flat_tensors(tmp_path, wrap, is_zip):
    torch.save(wrap(TENSORS), tmp_path / "m.pth", _use_new_zipfile_serialization=is_zip)
    read = read_tensors(tmp_path / "m.pth")
    assert read.keys() == TENSORS.keys()
    assert all(torch.equal(read[name], TENSORS[name]) for name in TENSORS)


def test_safetensors_give_the_same(tmp_path):
    save_file(TENSORS, tmp_path / "m.safetensors")
    assert torch.equal(read_tensors(tmp_path / "m.safetensors")["a.weight"], TENSORS["a.weight"])


@pytest.mark.parametrize("suffix", ["pth", "pt", "ckpt"])
def test_pickles_with_code_are_rejected_and_not_executed(tmp_path, capsys, suffix):
    torch.save({"a": Evil()}, tmp_path / f"zip.{suffix}")
    (tmp_path / f"raw.{suffix}").write_bytes(pickle.dumps(Evil()))
    for name in ("zip", "raw"):
        with pytest.raises(BadCheckpoint, match="other than tensors"):
            read_tensors(tmp_path / f"{name}.{suffix}")
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("is_zip", [True, False])
def test_truncated_torch_files_are_rejected(tmp_path, is_zip):
    torch.save(TENSORS, tmp_path / "m.pth", _use_new_zipfile_serialization=is_zip)
    whole = (tmp_path / "m.pth").read_bytes()
    for size in (0, 1, 3, 50, len(whole) // 2, len(whole) - 30):
        (tmp_path / "m.pth").write_bytes(whole[:size])
        with pytest.raises(BadCheckpoint, match="m.pth"):
            read_tensors(tmp_path / "m.pth")


def test_truncated_safetensors_are_rejected(tmp_path):
    save_file(TENSORS, tmp_path / "m.safetensors")
    whole = (tmp_path / "m.safetensors").read_bytes()
    for size in (0, 4, 40, len(whole) - 1):
        (tmp_path / "m.safetensors").write_bytes(whole[:size])
        with pytest.raises(BadCheckpoint, match="m.safetensors"):
            read_tensors(tmp_path / "m.safetensors")


def test_non_tensor_entries_are_named(tmp_path):
    torch.save({"a": torch.zeros(1), "epoch": 3}, tmp_path / "m.pth")
    with pytest.raises(BadCheckpoint, match="epoch"):
        read_tensors(tmp_path / "m.pth")


def test_missing_and_foreign_files_are_named_without_their_folder(tmp_path):
    for name in ("none.pth", "none.safetensors", "notes.txt"):
        if name == "notes.txt":
            (tmp_path / name).write_text("x")
        with pytest.raises(BadCheckpoint, match=name) as caught:
            read_tensors(tmp_path / name)
        assert str(tmp_path) not in str(caught.value)
