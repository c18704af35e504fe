"""Continuous batching: batch independence, queueing, cancellation, errors and runaway segments."""

import threading
import time

import numpy as np
import pytest

from backend.errors import Busy, Cancelled, EngineFailure, LimitExceeded, TimedOut
from backend.lm.runaway import RunawayLimits
from backend.runtime.session import Frame, SegmentStart
from tests.support.fake_lm import FakeLM, FakeSampler
from tests.support.speaking import ReadySource, collect, run_alone, running, session_for


def test_batched_codes_equal_codes_alone():
    lengths = [40 + 3 * seed for seed in range(8)]
    alone = [run_alone(ReadySource(seed, [n])) for seed, n in enumerate(lengths)]
    lm = FakeLM()
    with running(lm) as worker:
        sessions = [session_for(ReadySource(seed, [n])) for seed, n in enumerate(lengths)]
        for session in sessions:
            worker.submit(session)
        together = [collect(session) for session in sessions]
        assert worker.snapshot.mean_batch >= 4
        assert worker.snapshot.mean_batch == np.mean(lm.batches)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_more_requests_than_rows_all_finish():
    with running(n_rows=2) as worker:
        sessions = [session_for(ReadySource(seed, [5 + seed])) for seed in range(7)]
        for session in sessions:
            worker.submit(session)
        assert [collect(session).shape[1] for session in sessions] == [5 + seed for seed in range(7)]


def test_streamed_frames_equal_the_source_results():
    source = ReadySource(1, [7, 4])
    streamed = run_alone(source)
    np.testing.assert_array_equal(streamed, np.concatenate(source.finished, axis=1))
    assert source.reasons == ["stop", "stop"]


def test_prefill_chunks_alternate_with_decode_steps():
    lm = FakeLM()
    order = []
    lm.on_step = lambda rows: order.append("step")
    prefill = lm.prefill

    def noted(prompt, state, row):
        order.append(prompt.tokens.shape[1])
        return prefill(prompt, state, row)

    lm.prefill = noted
    with running(lm, prefill_columns=16) as worker:
        worker.max_frames = 10**6
        first = session_for(ReadySource(1, [10**6], max_frames=10**6))
        worker.submit(first)
        while not isinstance(first.frames.get(5.0), Frame):
            pass
        second = session_for(ReadySource(2, [5], n_columns=200))
        worker.submit(second)
        collect(second)
        first.cancel()
    pieces = [index for index, what in enumerate(order) if what in (16, 8)]
    assert len(pieces) == 13
    assert all(order[index + 1] == "step" for index in pieces)


def test_short_request_waits_at_most_one_segment_of_a_long_one():
    book = ReadySource(1, [20] * 30)
    with running(n_rows=1) as worker:
        long, short = session_for(book), session_for(ReadySource(2, [5]))
        worker.submit(long)
        worker.submit(short)
        assert collect(short).shape[1] == 5
        assert len(book.finished) < 30
        assert collect(long).shape[1] == 600


def test_full_queue_raises_busy_with_a_retry_time():
    gate = threading.Event()
    with running(FakeLM(lambda rows: gate.wait(5)), n_rows=1, max_waiting=2) as worker:
        sessions = [session_for(ReadySource(seed, [3])) for seed in range(3)]
        worker.submit(sessions[0])
        sessions[0].frames.get(5.0)
        for session in sessions[1:]:
            worker.submit(session)
        with pytest.raises(Busy, match="MAX_QUEUE") as busy:
            worker.submit(session_for(ReadySource(9, [3])))
        assert busy.value.retry_after_s > 0
        gate.set()
        for session in sessions:
            collect(session)


def test_cancelling_frees_the_row_within_a_frame():
    lm, n_steps = FakeLM(), []
    with running(lm, n_rows=1) as worker:
        endless = session_for(ReadySource(1, [10**9], max_frames=10**9), timeout_s=60)
        worker.max_frames = 10**9
        lm.on_step = lambda rows: (time.sleep(0.002), n_steps.append(len(rows)))
        worker.submit(endless)
        while len(n_steps) < 3:
            endless.frames.get(5.0)
        waiting = session_for(ReadySource(2, [2]))
        worker.submit(waiting)
        before = len(n_steps)
        endless.cancel()
        assert collect(waiting).shape[1] == 2
        # At most the current step and one more, then the two steps of the other request.
        assert len(n_steps) - before <= 4
        assert worker.snapshot.active == 0


def test_cancelled_waiting_request_never_starts():
    gate = threading.Event()
    with running(FakeLM(lambda rows: gate.wait(5)), n_rows=1) as worker:
        first, second = session_for(ReadySource(1, [3])), session_for(ReadySource(2, [3]))
        worker.submit(first)
        worker.submit(second)
        second.cancel()
        gate.set()
        collect(first)
        with pytest.raises(Cancelled):
            second.frames.get(5.0)
        assert second.source.n_given == 0


def test_deadline_ends_running_and_waiting_requests():
    slow = FakeLM(lambda rows: time.sleep(0.01))
    with running(slow, n_rows=1) as worker:
        running_one = session_for(ReadySource(1, [10**6]), timeout_s=0.1)
        waiting_one = session_for(ReadySource(2, [3]), timeout_s=0.05)
        worker.submit(running_one)
        worker.submit(waiting_one)
        for session in (running_one, waiting_one):
            with pytest.raises(TimedOut):
                collect(session)


def test_step_error_fails_its_batch_and_the_thread_continues():
    def fault(rows):
        if len(rows) == 2:
            raise RuntimeError("out of memory")

    lm = FakeLM(fault)
    with running(lm) as worker:
        sessions = [session_for(ReadySource(seed, [50])) for seed in range(2)]
        for session in sessions:
            worker.submit(session)
        for session in sessions:
            with pytest.raises(EngineFailure, match="RuntimeError"):
                collect(session)
        after = session_for(ReadySource(3, [4]))
        worker.submit(after)
        assert collect(after).shape[1] == 4


def test_source_error_fails_only_its_own_request():
    bad = ReadySource(1, [5, 5])
    bad.done = lambda codes, reason, path: 1 / 0
    with running() as worker:
        one, other = session_for(bad), session_for(ReadySource(2, [30]))
        worker.submit(one)
        worker.submit(other)
        with pytest.raises(EngineFailure):
            collect(one)
        assert collect(other).shape[1] == 30


def test_prompt_that_fills_the_context_is_rejected():
    with running(max_frames=100) as worker:
        session = session_for(ReadySource(1, [5], n_columns=100))
        worker.submit(session)
        with pytest.raises(LimitExceeded, match="MAX_SEQ_LEN"):
            collect(session)


def test_segment_ends_at_max_frames_with_reason_length():
    source = ReadySource(1, [50], max_frames=12)
    assert run_alone(source).shape[1] == 12
    assert source.reasons == ["length"]


def test_closing_fails_pending_requests():
    gate = threading.Event()
    with running(FakeLM(lambda rows: gate.wait(5)), n_rows=1) as worker:
        sessions = [session_for(ReadySource(seed, [3])) for seed in range(2)]
        for session in sessions:
            worker.submit(session)
        sessions[0].frames.get(5.0)
        threading.Timer(0.02, gate.set).start()
        worker.close()
        for session in sessions:
            with pytest.raises(EngineFailure, match="closed"):
                collect(session)


def test_voice_prefix_is_prefilled_once_with_the_same_codes():
    lm = FakeLM()
    plain = run_alone(ReadySource(4, [20], n_columns=100, n_shared=90))
    with running(lm) as worker:
        for _ in range(3):
            session = session_for(ReadySource(4, [20], n_columns=100, n_shared=90))
            worker.submit(session)
            np.testing.assert_array_equal(collect(session), plain)
        assert lm.n_prefilled == 100 + 2 * 10
        assert session.n_prefix_hits == 1
        other = session_for(ReadySource(4, [20], n_columns=100, n_shared=90), use_prefix_cache=False)
        worker.submit(other)
        np.testing.assert_array_equal(collect(other), plain)
        assert lm.n_prefilled == 220


def test_slow_client_pauses_only_its_own_row():
    with running() as worker:
        slow, quick = session_for(ReadySource(1, [300])), session_for(ReadySource(2, [200]))
        slow.frames.capacity = 16  # of 4096
        worker.submit(slow)
        worker.submit(quick)
        assert collect(quick).shape[1] == 200
        assert len(slow.frames) <= 16
        assert collect(slow).shape[1] == 300


@pytest.mark.parametrize(("n_silent", "n_frames"), [(1, 9), (2, 9), (3, 0)])
def test_empty_segment_is_retried(n_silent, n_frames):
    source = ReadySource(1, [9])
    give = source.next
    source.next = lambda: give()._replace(sampler=FakeSampler(1, 9, n_silent=n_silent))
    assert run_alone(source).shape[1] == n_frames
    assert source.reasons == ["stop"]


class CirclingLM(FakeLM):
    """Repeats three frames after 20 frames, in the attempts before `n_good`."""

    def __init__(self, n_good):
        super().__init__()
        self.n_good = n_good

    def sample(self, out, samplers, state, rows):
        frames = super().sample(out, samplers, state, rows)
        for position, sampler in enumerate(samplers):
            if sampler.drawn > 20 and sampler.attempt < self.n_good:
                frames[position] = sampler.drawn % 3
        return frames


def items_of(lm, source):
    with running(lm) as worker:
        session = session_for(source)
        worker.submit(session)
        items = []
        while (item := session.frames.get(10.0)) is not None:
            items.append(item)
        return items, session


def test_looping_segment_is_retried_with_other_noise():
    source = ReadySource(1, [60], limits=RunawayLimits(10.0, 500, retries=1))
    items, session = items_of(CirclingLM(1), source)
    starts = [index for index, item in enumerate(items) if isinstance(item, SegmentStart)]
    assert [items[index].is_retry for index in starts] == [False, True]
    again = starts[1]
    assert 20 + 30 < again < 60
    assert (
        source.reasons == ["stop"] and source.finished[0].shape[1] == session.n_frames == 60 == len(items) - again - 1
    )
    assert (session.n_retries, session.finish_reason) == (1, "stop")


@pytest.mark.parametrize(("retries", "n_tries"), [(0, 1), (1, 2)])
def test_permanent_loop_ends_with_reason_repetition(retries, n_tries):
    source = ReadySource(1, [600, 10], limits=RunawayLimits(10.0, 500, retries))
    items, session = items_of(CirclingLM(9), source)
    assert source.reasons == ["repetition", "stop"] and session.finish_reason == "repetition"
    assert sum(isinstance(item, SegmentStart) for item in items) == n_tries + 1
    assert source.finished[0].shape[1] < 60


def test_length_limit_is_a_runaway_and_max_frames_is_not():
    source = ReadySource(1, [600], limits=RunawayLimits(10.0, 80, retries=1))
    _, session = items_of(FakeLM(), source)
    assert source.reasons == ["length"] and source.finished[0].shape[1] == 80 and session.n_retries == 1
    source = ReadySource(1, [600], max_frames=50, limits=RunawayLimits(10.0, 80, retries=1))
    _, session = items_of(FakeLM(), source)
    assert source.reasons == ["length"] and source.finished[0].shape[1] == 50 and session.n_retries == 0
