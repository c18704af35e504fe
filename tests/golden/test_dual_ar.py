import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tests.golden.__main__ import main

CASES = Path(__file__).parent / "fish_lm"


@pytest.mark.parametrize("name", ["public_v15like", "stop_s1like", "stop_s2like", "stop_v15like"])
def test_the_kept_cases_are_within_every_tolerance(name, capsys):
    assert main([str(CASES / name)]) == 0
    assert "FAIL" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("array", "by"),
    [("nocache_hidden", 0.01), ("train_token_logits", 0.01), ("train_codebook_logits", 0.01), ("samp_probs", 1e-5),
     ("greedy_sequence", 1), ("greedy_fast_logits", 0.01), ("greedy_rep13_sequence", 1)],
)  # fmt: skip
def test_one_wrong_number_fails_the_case(tmp_path, capsys, array, by):
    case = shutil.copytree(CASES / "public_v15like", tmp_path / "case")
    arrays = load_file(case / "arrays.safetensors")
    # The last values of a sequence are the model's, the first ones the prompt's.
    arrays[array].view(-1)[-3].add_(by)
    save_file(arrays, case / "arrays.safetensors")
    assert main([str(case)]) == 1
    assert f"FAIL {array}" in capsys.readouterr().out
