"""Bounded stream: order, capacity, end, failure and cancellation."""

import threading

import pytest

from backend.errors import BadAudio, Cancelled, TimedOut
from backend.runtime.bounded_stream import BoundedStream


def test_items_arrive_in_order_and_then_none():
    stream = BoundedStream(10)
    threading.Thread(target=lambda: [*map(stream.put, range(5)), stream.finish()]).start()
    assert [stream.get(5) for _ in range(6)] == [0, 1, 2, 3, 4, None]


def test_capacity_counts_item_weight():
    stream = BoundedStream(10, len)
    stream.put("12345")
    assert stream.has_room
    stream.put("123456")
    assert not stream.has_room
    woken = []
    stream.on_room = lambda: woken.append(True)
    stream.get(1)
    assert stream.has_room and woken


def test_a_failure_reaches_the_reader_at_once():
    stream = BoundedStream(10)
    stream.put(1)
    stream.fail(BadAudio("broken"))
    stream.fail(BadAudio("later"))
    stream.put(2)
    with pytest.raises(BadAudio, match="broken"):
        stream.get(1)
    with pytest.raises(BadAudio, match="broken"):
        stream.take(5)


def test_cancelling_after_the_end_changes_nothing():
    stream = BoundedStream(10)
    stream.finish()
    stream.cancel()
    assert stream.get(1) is None and not stream.is_cancelled


def test_cancelling_empties_the_stream():
    stream = BoundedStream(10)
    stream.put(1)
    stream.cancel()
    assert stream.is_over and len(stream) == 0
    with pytest.raises(Cancelled):
        stream.get(1)


def test_get_times_out():
    with pytest.raises(TimedOut):
        BoundedStream(1).get(0.01)
