"""Who speaks next, who has to wait, and who is refused, without any model."""

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
    pace = ThroughputEstimate()
    pace.learn(round(FRAMES_PER_S * 10), 10.0)
    return Scheduler(n_rows, max_waiting, pace)


def order_of(scheduler, n):
    """Whose turn it is, one request after another on one row."""
    clients = []
    for _ in range(n):
        (row,) = scheduler.admit()
        clients.append(row.session.client)
        scheduler.release(row)
    return "".join(clients)


def test_a_client_with_twenty_requests_does_not_keep_another_waiting():
    scheduler = scheduler_of()
    for _ in range(20):
        scheduler.submit(session_of("a"))
    for client in "bbc":
        scheduler.submit(session_of(client))
    assert order_of(scheduler, 8) == "abcabaaa"


def test_one_clients_requests_keep_their_order():
    scheduler = scheduler_of()
    sessions = [session_of("a") for _ in range(4)]
    for session in sessions:
        scheduler.submit(session)
    for session in sessions:
        (row,) = scheduler.admit()
        assert row.session is session
        scheduler.release(row)


def test_rows_are_shared_among_clients_that_wait():
    scheduler = scheduler_of(n_rows=4)
    for client in "aaaaaabb":
        scheduler.submit(session_of(client))
    rows = scheduler.admit()
    assert sorted(row.session.client for row in rows) == ["a", "a", "b", "b"]


def test_a_full_line_makes_room_for_a_client_that_has_less_in_it():
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


def test_when_to_come_back_follows_the_measured_pace():
    scheduler = scheduler_of(n_rows=2, max_waiting=6)
    for _ in range(2):
        scheduler.submit(session_of(seconds=10))
    scheduler.admit()
    assert scheduler.wait_s("") == pytest.approx(10)
    for _ in range(6):
        scheduler.submit(session_of(seconds=4))
    assert scheduler.wait_s("") == pytest.approx(10 + 3 * 4)
    # Another client has its turn after one of each.
    assert scheduler.wait_s("other") == pytest.approx(10)
    with pytest.raises(Busy) as busy:
        scheduler.submit(session_of())
    assert busy.value.retry_after_s == pytest.approx(22)


def test_who_cannot_begin_in_time_is_refused_at_once():
    scheduler = scheduler_of()
    scheduler.submit(session_of(seconds=10))
    scheduler.admit()
    scheduler.submit(session_of(seconds=20, wait_s=11))
    with pytest.raises(Busy, match="begin in about 30 s.* waits 12 s") as busy:
        scheduler.submit(session_of(wait_s=12))
    assert busy.value.retry_after_s == pytest.approx(18, abs=0.1)
    assert scheduler.n_waiting == 1


def test_who_has_waited_too_long_is_told_to_come_back_and_who_has_begun_goes_on():
    scheduler = scheduler_of()
    first, late = session_of(), session_of()
    scheduler.submit(first)
    (row,) = scheduler.admit()
    scheduler.submit(late)
    first.begin_by_s = late.begin_by_s = time.monotonic() - 1
    row.clear_segment()
    assert scheduler.give_way(row)
    assert scheduler.take_ended() == [late]
    with pytest.raises(Busy, match="No place came free"):
        late.check()
    first.check()


def test_those_who_left_are_not_waited_for():
    scheduler = scheduler_of()
    gone = session_of()
    scheduler.submit(gone)
    gone.cancel()
    assert scheduler.wait_s("") == 0.0
