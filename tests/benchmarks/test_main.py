import json
import sys
from types import SimpleNamespace

import pytest

from benchmarks import __main__ as tool
from benchmarks.registry import CASES, description


@pytest.fixture
def case(monkeypatch):
    monkeypatch.setitem(CASES, "fake", "benchmarks.fake")
    monkeypatch.setitem(sys.modules, "benchmarks.fake", SimpleNamespace(run=lambda: [{"name": "x", "mb_per_s": 3.5}]))


def load(monkeypatch, busy_share):
    machine = {"cpu": "one", "cores": 4, "busy_share": busy_share}
    monkeypatch.setattr(tool, "describe_machine", lambda: machine)
    return machine


@pytest.mark.parametrize("busy_share", [0.0, 0.15])
def test_idle_machine_is_measured(case, monkeypatch, capsys, tmp_path, busy_share):
    machine = load(monkeypatch, busy_share)
    assert tool.main(["run", "fake", "--json", str(tmp_path / "r.json")]) == 0
    assert '{"name": "x", "mb_per_s": 3.5}' in capsys.readouterr().out
    written = json.loads((tmp_path / "r.json").read_text())
    assert written == {"case": "fake", "machine": machine, "rows": [{"name": "x", "mb_per_s": 3.5}]}


def test_busy_machine_is_rejected_unless_forced(case, monkeypatch, capsys, tmp_path):
    load(monkeypatch, 0.21)
    assert tool.main(["run", "fake", "--json", str(tmp_path / "r.json")]) == 3
    out, err = capsys.readouterr()
    assert "mb_per_s" not in out and "21% of the cores" in err and not (tmp_path / "r.json").exists()
    assert tool.main(["run", "fake", "--force"]) == 0
    assert '"busy": true' in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_case_has_a_one_line_description(name):
    assert description(name).endswith(".") and len(description(name)) < 120


def test_list_names_every_case(capsys):
    assert tool.main(["list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(CASES)
