"""Scheduler: fairness, displacement, wait estimates and rejections, without a model."""

import time

import pytest

from backend.errors import Busy
from backend.runtime.scheduler import Scheduler
from backend.runtime.session import Session
from backend.runtime.throughput import ThroughputEstimate
from tests.support.speaking import ReadySource

FRAMES_PER_S = 50.0


def session_of(client="", seconds=10.0, wait_s=1e6):
    now_s = time.monotonic()
    return Session(
        ReadySource(1, [5]), now_s + 1e6, client=client, begin_by_s=now_s + wait_s,
        n_usual_frames=round(seconds * FRAMES_PER_S),
    )  # fmt: skip


def scheduler_of(n_rows=1, max_waiting=32):
    throughput = ThroughputEstimate()
    throughput.update(round(FRAMES_PER_S * 10), 10.0)
    return Scheduler(n_rows, max_waiting, throughput)


def order_of(scheduler, n):
    """The clients of the next `n` requests on one row."""
    clients = []
    for _ in range(n):
        (row,) = scheduler.admit()
        clients.append(row.session.client)
        scheduler.release(row)
    return "".join(clients)


def test_clients_are_served_round_robin():
    scheduler = scheduler_of()
    for _ in range(20):
        scheduler.submit(session_of("a"))
    for client in "bbc":
        scheduler.submit(session_of(client))
    assert order_of(scheduler, 8) == "abcabaaa"


def test_requests_of_one_client_keep_their_order():
    scheduler = scheduler_of()
    sessions = [session_of("a") for _ in range(4)]
    for session in sessions:
        scheduler.submit(session)
    for session in sessions:
        (row,) = scheduler.admit()
        assert row.session is session
        scheduler.release(row)


def test_rows_are_shared_between_waiting_clients():
    scheduler = scheduler_of(n_rows=4)
    for client in "aaaaaabb":
        scheduler.submit(session_of(client))
    rows = scheduler.admit()
    assert sorted(row.session.client for row in rows) == ["a", "a", "b", "b"]


def test_full_queue_displaces_the_client_with_most_requests():
    scheduler = scheduler_of(max_waiting=4)
    of_a = [session_of("a") for _ in range(4)]
    for session in of_a:
        scheduler.submit(session)
    for _ in range(2):
        scheduler.submit(session_of("b"))
    assert [session.frames.is_over for session in of_a] == [False, False, True, True]
    with pytest.raises(Busy, match="MAX_QUEUE"):
        of_a[3].frames.get(0.0)
    for client in "ab":
        with pytest.raises(Busy, match="MAX_QUEUE"):
            scheduler.submit(session_of(client))
    assert scheduler.n_waiting == 4


def test_retry_after_follows_the_measured_throughput():
    scheduler = scheduler_of(n_rows=2, max_waiting=6)
    for _ in range(2):
        scheduler.submit(session_of(seconds=10))
    scheduler.admit()
    assert scheduler.wait_s("") == pytest.approx(10)
    for _ in range(6):
        scheduler.submit(session_of(seconds=4))
    assert scheduler.wait_s("") == pytest.approx(10 + 3 * 4)
    # Another client waits for one request of each client only.
    assert scheduler.wait_s("other") == pytest.approx(10)
    with pytest.raises(Busy) as busy:
        scheduler.submit(session_of())
    assert busy.value.retry_after_s == pytest.approx(22)


def test_request_that_cannot_start_in_time_is_rejected_at_once():
    scheduler = scheduler_of()
    scheduler.submit(session_of(seconds=10))
    scheduler.admit()
    scheduler.submit(session_of(seconds=20, wait_s=11))
    with pytest.raises(Busy, match="estimated wait is 30 s.* is 12 s") as busy:
        scheduler.submit(session_of(wait_s=12))
    assert busy.value.retry_after_s == pytest.approx(18, abs=0.1)
    assert scheduler.n_waiting == 1


def test_max_wait_rejects_queued_requests_but_not_started_ones():
    scheduler = scheduler_of()
    first, late = session_of(), session_of()
    scheduler.submit(first)
    (row,) = scheduler.admit()
    scheduler.submit(late)
    first.begin_by_s = late.begin_by_s = time.monotonic() - 1
    row.clear_segment()
    assert scheduler.yield_row(row)
    assert scheduler.take_ended() == [late]
    with pytest.raises(Busy, match="No row became free"):
        late.check()
    first.check()


def test_cancelled_requests_do_not_count_in_the_wait():
    scheduler = scheduler_of()
    gone = session_of()
    scheduler.submit(gone)
    gone.cancel()
    assert scheduler.wait_s("") == 0.0
