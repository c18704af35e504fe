import json

import pytest
from typer.testing import CliRunner

from backend.cli.main import app
from backend.optimize.planner.cache import FOLDER_VARIABLE
from backend.weights.tiny_checkpoint import write_tiny_checkpoint


@pytest.fixture
def report(monkeypatch, tmp_path):
    """The doctor's report on a folder."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("DEVICE", "cpu")

    def run(folder, *options):
        monkeypatch.setenv("MODEL_DIR", str(folder))
        done = CliRunner().invoke(app, ["doctor", *options])
        assert done.exit_code == 0, done.output
        return done.output

    return run


def test_the_report_names_machine_checkpoint_and_reasons(report, tmp_path):
    folder = tmp_path / "little"
    write_tiny_checkpoint(folder, "s1", 0)
    found = json.loads(report(folder, "--json"))
    assert found["machine"]["cores"] and found["device"].startswith("cpu") and found["checkpoint"] == "little"
    assert any(line.startswith("refused: int8 (lm): QUANTIZATION=none") for line in found["plan"])
    assert any("threads (lm): fastest for" in line for line in found["plan"])
    assert "measured now" in found["plan"][0]
    assert "cached" in report(folder)


def test_missing_checkpoint_is_reported(report, tmp_path):
    assert "there is no such folder" in report(tmp_path / "nowhere")
