"""CUDA graph capture: a call is recorded once and replayed with one launch. Other devices run the call directly."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

Out = TypeVar("Out")
Call = Callable[[], None]
# Takes a call that uses fixed memory only; returns an equivalent, faster call.
Capture = Callable[[Call], Call]
# Libraries select algorithms and workspaces in the first runs, which must not be captured.
N_WARM_UP = 3


def capture_for(device: torch.device) -> Capture:
    return GpuCapture(device) if device.type == "cuda" else uncaptured


def uncaptured(call: Call) -> Call:
    return call


class GpuCapture:
    """Captures on the calling thread, as CUDA graphs that share one memory pool.

    Graphs may be replayed in any order, one at a time on one stream, if each result is copied out before the next
    replay. Other threads may use their own streams meanwhile: their work is not captured, but a device-wide
    synchronization would invalidate the capture.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self._stream: torch.cuda.Stream | None = None
        self._pool: Any = None
        self._alive: weakref.WeakSet[_Replay] = weakref.WeakSet()

    def __call__(self, call: Call) -> Call:
        """Captures `call`. Raises `RuntimeError` if the driver, a kernel or memory does not allow it."""
        with torch.cuda.device(self.device):
            current = torch.cuda.current_stream()
            if self._stream is None:
                self._stream = torch.cuda.Stream()
            if not self._alive:
                # The pool lives as long as its last graph.
                self._pool = torch.cuda.graph_pool_handle()
            graph = torch.cuda.CUDAGraph()
            # Re-entered, so that a failed capture restores the stream.
            with torch.cuda.stream(current):
                self._stream.wait_stream(current)
                with torch.cuda.stream(self._stream):
                    for _ in range(N_WARM_UP):
                        call()
                current.wait_stream(self._stream)
                with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
                    call()
        replay = _Replay(graph)
        self._alive.add(replay)
        return replay


class _Replay:
    def __init__(self, graph: torch.cuda.CUDAGraph):
        self.graph = graph

    def __call__(self) -> None:
        self.graph.replay()


class CapturedGraph(ABC, Generic[Out]):
    """A computation over fixed memory: write the inputs there, then `replay` is equivalent to `compute`.

    It is captured before its inputs are written, so the first comparison detects anything that does not depend on them.
    """

    out: Out

    def capture_with(self, capture: Capture) -> None:
        self._replay = capture(self._run)

    def replay(self) -> Out:
        """Returns what `compute` would, in memory that the next graph to run may overwrite."""
        self._replay()
        return self.out

    def _run(self) -> None:
        self.out = self.compute()

    @abstractmethod
    def compute(self) -> Out: ...


class PinnedInput:
    """Inputs that the host writes to `values` [n_fields, n_rows] and a graph reads from `tensor`, sent by one
    asynchronous copy.
    """

    def __init__(self, n_fields: int, n_rows: int, dtype: torch.dtype, device: torch.device):
        is_cuda = device.type == "cuda"
        host = torch.zeros(n_fields, n_rows, dtype=dtype, pin_memory=is_cuda)
        self.tensor = host.to(device) if is_cuda else host
        self._host, self.values = host, host.numpy()
        self._sent = torch.cuda.Event() if is_cuda else None

    def wait(self) -> None:
        """Waits for the last copy; call before writing."""
        if self._sent is not None:
            self._sent.synchronize()

    def send(self) -> None:
        if self._sent is not None:
            self.tensor.copy_(self._host, non_blocking=True)
            # The current stream may belong to another GPU.
            self._sent.record(torch.cuda.current_stream(self.tensor.device))


def bucket_of(n: int, maximum: int, minimum: int = 1) -> int:
    """Returns the smallest power of two that is at least `n` and `minimum`, capped at `maximum`."""
    return min(max(1 << (n - 1).bit_length(), minimum), maximum)


def cosine_distance(expected: Tensor, actual: Tensor) -> float:
    """Returns the largest 1 - cosine similarity of corresponding rows [B, V]; NaN if a value is NaN."""
    return 1 - torch.cosine_similarity(expected.double(), actual.double(), dim=-1).min().item()
