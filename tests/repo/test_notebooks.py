"""The notebooks run from top to bottom on the small data they make themselves."""

import json

import pytest

from tests.support.notebooks import run_notebook
from tests.support.repository import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_there_is_a_notebook_for_each_part_of_the_work():
    assert [path.stem for path in NOTEBOOKS] == ["data_exploration", "evaluation", "model_development"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_without_outputs(path):
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("hydra")
    done = run_notebook(path, tmp_path, NOTEBOOK_STEPS="12", NOTEBOOK_FILES="3", OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr[-3000:]
