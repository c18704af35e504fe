"""CPU load by other programs, from fake counters."""

from types import SimpleNamespace

import psutil
import pytest

from backend.optimize.planner import cpu_load


class Times(SimpleNamespace):
    def __iter__(self):
        return iter(vars(self).values())


class SystemInfo:
    """Fakes four cores over ten seconds, with given CPU times."""

    def __init__(self, monkeypatch):
        self.now_s = 100.0
        self.all = Times(user=50.0, system=10.0, idle=300.0, iowait=5.0, guest=3.0)
        self.own = SimpleNamespace(user=20.0, system=2.0)
        monkeypatch.setattr(cpu_load.time, "monotonic", lambda: self.now_s)
        monkeypatch.setattr(psutil, "cpu_count", lambda: 4)
        monkeypatch.setattr(psutil, "cpu_times", lambda: self.all)
        monkeypatch.setattr(psutil, "Process", lambda: SimpleNamespace(cpu_times=lambda: self.own))


@pytest.mark.parametrize(
    ("all_s", "own_s", "share"), [(10.0, 10.0, 0.0), (30.0, 10.0, 0.5), (40.0, 0.0, 1.0), (9.9, 10.0, 0.0)]
)
def test_share_excludes_this_program(monkeypatch, all_s, own_s, share):
    machine = SystemInfo(monkeypatch)
    watch = cpu_load.CpuLoad()
    machine.now_s += 10
    machine.all = Times(user=50 + all_s, system=10.0, idle=340 - all_s, iowait=5.0, guest=3.0)
    machine.own = SimpleNamespace(user=20 + own_s, system=2.0)
    assert watch.share == pytest.approx(share)
