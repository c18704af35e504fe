"""CUDA graph capture, against a fake driver."""

import gc
from contextlib import contextmanager

import pytest
import torch

from backend.optimize.cuda_graph.capture import (
    N_WARM_UP,
    GpuCapture,
    PinnedInput,
    bucket_of,
    capture_for,
    cosine_distance,
    uncaptured,
)


class FakeDriver:
    """Streams are numbers; a capture keeps the calls made inside it."""

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
            assert capture_error_mode == "thread_local", "the codec thread must not be captured"
            driver.pools.append(pool)
            # As in PyTorch, the stream is restored only if the capture succeeds.
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
        """A kernel launch: runs now, or is captured."""
        return lambda: call() if self.recording is None else self.recording.append(call)


@pytest.fixture
def driver(monkeypatch):
    return FakeDriver(monkeypatch)


def test_call_is_warmed_up_captured_and_replayed(driver):
    runs = []
    replay = GpuCapture(torch.device("cuda"))(driver.kernel(lambda: runs.append(1)))
    assert len(runs) == N_WARM_UP
    replay()
    replay()
    assert len(runs) == N_WARM_UP + 2


def test_live_graphs_share_one_memory_pool(driver):
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
    assert driver.n_streams == 2, "the worker's stream and one capture stream"


def test_failed_capture_restores_the_stream(driver):
    before, driver.fails = driver.stream, True
    with pytest.raises(RuntimeError, match="invalidated"):
        GpuCapture(torch.device("cuda"))(driver.kernel(int))
    assert driver.stream is before


def test_other_devices_run_calls_uncaptured():
    assert capture_for(torch.device("cpu")) is uncaptured and isinstance(capture_for(torch.device("cuda")), GpuCapture)


def test_pinned_input_on_cpu_shares_memory():
    inputs = PinnedInput(2, 3, torch.long, torch.device("cpu"))
    inputs.wait()
    inputs.values[1] = 7
    inputs.send()
    assert inputs.tensor.tolist() == [[0, 0, 0], [7, 7, 7]]


def test_bucket_is_the_smallest_power_of_two_that_fits():
    assert [bucket_of(n, 48) for n in (1, 3, 8, 33, 48)] == [1, 4, 8, 48, 48]
    assert [bucket_of(n, 1024, 256) for n in (1, 256, 257, 600, 1024)] == [256, 256, 512, 1024, 1024]
    assert all(bucket_of(n, 4096, 256) < 2 * n for n in range(129, 4096))


def test_cosine_distance_separates_rounding_from_wrong_values():
    expected = torch.randn(4, 200, generator=torch.Generator().manual_seed(0))
    assert (
        cosine_distance(expected, expected.bfloat16()) < 1e-4 and cosine_distance(expected, expected.roll(1, 0)) > 0.5
    )
