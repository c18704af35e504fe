"""What a card would be asked for, by a stand-in for its driver."""

import gc
from contextlib import contextmanager

import pytest
import torch

from backend.optimize.cuda_graph.capture import (
    WARM_UP,
    GpuCapture,
    PinnedInput,
    bucket_of,
    capture_for,
    distance,
    uncaptured,
)


class Driver:
    """Streams are numbers; a recording keeps what was called inside it."""

    def __init__(self, monkeypatch):
        self.stream, self.recording, self.pools, self.n_streams, self.fails = "worker's", None, [], 0, False
        driver = self

        class Stream:
            def __init__(self):
                driver.n_streams += 1

            def wait_stream(self, other):
                assert driver.recording is None

        class Graph:
            calls = ()

            def replay(self):
                for call in self.calls:
                    call()

        @contextmanager
        def stream(new):
            before, driver.stream = driver.stream, new
            try:
                yield
            finally:
                driver.stream = before

        @contextmanager
        def graph(recorded, pool, on, capture_error_mode):
            assert capture_error_mode == "thread_local", "the codec's thread goes on meanwhile"
            driver.pools.append(pool)
            # As PyTorch does, the stream is left only where the recording ends well.
            driver.stream, driver.recording = on, []
            yield
            recorded.calls, driver.recording = driver.recording, None
            if driver.fails:
                raise RuntimeError("capture invalidated")
            driver.stream = "somewhere"

        current = Stream()
        self.stream = current
        names = {"Stream": Stream, "CUDAGraph": Graph, "graph": graph, "stream": stream, "device": lambda _: stream("")}
        names |= {"current_stream": lambda: current, "graph_pool_handle": object}
        for name, fake in names.items():
            monkeypatch.setattr(torch.cuda, name, fake)

    def kernel(self, call):
        """A call as the driver sees it: run, or put off."""
        return lambda: call() if self.recording is None else self.recording.append(call)


@pytest.fixture
def driver(monkeypatch):
    return Driver(monkeypatch)


def test_a_call_is_warmed_up_recorded_and_replayed(driver):
    runs = []
    replay = GpuCapture(torch.device("cuda"))(driver.kernel(lambda: runs.append(1)))
    assert len(runs) == WARM_UP
    replay()
    replay()
    assert len(runs) == WARM_UP + 2


def test_recordings_share_one_pool_as_long_as_one_of_them_lives(driver):
    capture = GpuCapture(torch.device("cuda"))
    kept = [capture(driver.kernel(int)), capture(driver.kernel(int))]
    assert driver.pools[0] is driver.pools[1]
    kept.pop(0)
    kept.append(capture(driver.kernel(int)))
    assert driver.pools[2] is driver.pools[0]
    kept.clear()
    gc.collect()
    capture(driver.kernel(int))
    assert driver.pools[3] is not driver.pools[0]
    assert driver.n_streams == 2, "the worker's own, and one to record on"


def test_a_recording_that_fails_leaves_the_stream_as_it_was(driver):
    before, driver.fails = driver.stream, True
    with pytest.raises(RuntimeError, match="invalidated"):
        GpuCapture(torch.device("cuda"))(driver.kernel(int))
    assert driver.stream is before


def test_elsewhere_calls_run_as_they_are():
    assert capture_for(torch.device("cpu")) is uncaptured and isinstance(capture_for(torch.device("cuda")), GpuCapture)


def test_numbers_on_a_processor_are_there_once_they_are_written():
    sent = PinnedInput(2, 3, torch.long, torch.device("cpu"))
    sent.open()
    sent.values[1] = 7
    sent.send()
    assert sent.tensor.tolist() == [[0, 0, 0], [7, 7, 7]]


def test_rows_and_pasts_go_into_the_smallest_bucket_that_holds_them():
    assert [bucket_of(n, 48) for n in (1, 3, 8, 33, 48)] == [1, 4, 8, 48, 48]
    assert [bucket_of(n, 1024, 256) for n in (1, 256, 257, 600, 1024)] == [256, 256, 512, 1024, 1024]
    assert all(bucket_of(n, 4096, 256) < 2 * n for n in range(129, 4096))


def test_distances_tell_rounding_from_other_numbers():
    wanted = torch.randn(4, 200, generator=torch.Generator().manual_seed(0))
    assert distance(wanted, wanted.bfloat16()) < 1e-4 and distance(wanted, wanted.roll(1, 0)) > 0.5
