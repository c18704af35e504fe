"""Running totals and summaries."""

import threading

import pytest

from backend.monitor.statistics import RECENT, RunningSummary, RunningTotal


def test_adding_is_thread_safe():
    count, tally = RunningTotal(), RunningSummary()
    threads = [threading.Thread(target=lambda: [(count.add(), tally.add(2.0)) for _ in range(1000)]) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert count.value == 4000
    assert (tally.snapshot.count, tally.snapshot.total, tally.snapshot.mean) == (4000, 8000.0, 2.0)


def test_quantiles_use_recent_values_and_totals_all_values():
    tally = RunningSummary()
    for _ in range(1000):
        tally.add(100.0)
    for value in range(RECENT):
        tally.add(float(value))
    snapshot = tally.snapshot
    assert snapshot.count == 1000 + RECENT
    assert snapshot.p50 == pytest.approx(RECENT / 2)
    assert snapshot.p95 == pytest.approx(0.95 * RECENT, abs=1)
    assert snapshot.last == RECENT - 1


def test_empty_summary_is_all_zero():
    assert (RunningSummary().snapshot.mean, RunningSummary().snapshot.p95, RunningTotal().value) == (0, 0, 0)
