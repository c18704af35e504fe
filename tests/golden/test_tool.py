import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tests.golden.__main__ import main

CASE = Path(__file__).parent / "fish_codec"


@pytest.fixture
def case(tmp_path):
    shutil.copytree(CASE, tmp_path / "case")
    return tmp_path / "case"


def edit(case, edit_arrays):
    arrays = load_file(case / "arrays.safetensors")
    edit_arrays(arrays)
    save_file(arrays, case / "arrays.safetensors")


def test_the_kept_case_is_within_every_tolerance(case, capsys):
    assert main([str(case)]) == 0
    out = capsys.readouterr().out
    assert "FAIL" not in out and "22 of 22 within" in out


@pytest.mark.parametrize(
    ("array", "by"),
    [("0.encoder_out", 0.01), ("1.pre_module_out", 0.05), ("0.dequant_upsampled", 0.01), ("1.audio", 3e-4),
     ("0.rand_audio", 3e-4), ("0.codes", 1), ("1.code_len", 1)],
)  # fmt: skip
def test_one_wrong_number_fails_the_case(case, capsys, array, by):
    edit(case, lambda arrays: arrays[array].view(-1)[7 % arrays[array].numel()].add_(by))
    assert main([str(case)]) == 1
    assert f"FAIL {array}" in capsys.readouterr().out


def test_not_a_number_fails_the_case(case):
    edit(case, lambda arrays: arrays["0.audio"].view(-1)[0].fill_(float("nan")))
    assert main([str(case)]) == 1


def test_a_case_without_arrays_fails(case):
    edit(case, lambda arrays: [arrays.pop(name) for name in list(arrays) if name != "0.wav"])
    assert main([str(case)]) == 1


def test_other_kinds_and_broken_cases_exit_2(case, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty")]) == 2
    assert main([str(tmp_path)]) == 0  # the cases inside it
    (case / "meta.json").write_text(json.dumps({"num_codebooks": 4, "dim": 64}))
    assert main([str(case)]) == 2
    assert "no checker for this kind yet" in capsys.readouterr().err
    (case / "meta.json").write_text(json.dumps({"codec": {}, "q": {}, "tf": {}, "window": 8}))
    assert main([str(case), str(CASE)]) == 2
