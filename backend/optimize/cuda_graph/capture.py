"""Calls recorded on a card, to be replayed by one launch; on any other device they run as they are."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

Out = TypeVar("Out")
Call = Callable[[], None]
# Takes a call that reads and writes memory which never moves; returns what does the same, sooner.
Capture = Callable[[Call], Call]
# Libraries choose their ways and their working memory in the first runs, which must not be recorded.
WARM_UP = 3


def capture_for(device: torch.device) -> Capture:
    return GpuCapture(device) if device.type == "cuda" else uncaptured


def uncaptured(call: Call) -> Call:
    return call


class GpuCapture:
    """Records on the calling thread, as CUDA graphs that share one pool of memory.

    They may be replayed in any order, one after the other on one stream, if what a graph leaves is fetched before the
    next one runs. Other threads go on meanwhile, on their own streams: what they do is no part of the recording, and
    only a wait for the whole card would spoil it.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self._stream: torch.cuda.Stream | None = None
        self._pool: Any = None
        self._alive: weakref.WeakSet[_Replay] = weakref.WeakSet()

    def __call__(self, call: Call) -> Call:
        """Raises `RuntimeError` where the driver, a kernel or the memory does not allow it."""
        with torch.cuda.device(self.device):
            current = torch.cuda.current_stream()
            if self._stream is None:
                self._stream = torch.cuda.Stream()
            if not self._alive:
                # A pool ends with the last graph in it.
                self._pool = torch.cuda.graph_pool_handle()
            graph = torch.cuda.CUDAGraph()
            # Entered once more, so that a recording that fails leaves the stream behind it as it was.
            with torch.cuda.stream(current):
                self._stream.wait_stream(current)
                with torch.cuda.stream(self._stream):
                    for _ in range(WARM_UP):
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
    """A computation over memory that never moves: inputs are written there, then `run` is as good as `compute`.

    It is recorded before its inputs are there, so that whatever does not follow them shows at the first look.
    """

    out: Out

    def record(self, capture: Capture) -> None:
        self._replay = capture(self._run)

    def replay(self) -> Out:
        """What `compute` would return, in memory that the next recording to run may overwrite."""
        self._replay()
        return self.out

    def _run(self) -> None:
        self.out = self.compute()

    @abstractmethod
    def compute(self) -> Out: ...


class PinnedInput:
    """Numbers the host writes to `values` and a recording reads from `tensor`, sent by one copy nobody waits for."""

    def __init__(self, n_lines: int, n_columns: int, dtype: torch.dtype, device: torch.device):
        is_card = device.type == "cuda"
        host = torch.zeros(n_lines, n_columns, dtype=dtype, pin_memory=is_card)
        self.tensor = host.to(device) if is_card else host
        self._host, self.values = host, host.numpy()
        self._sent = torch.cuda.Event() if is_card else None

    def open(self) -> None:
        """Before writing: what was sent last must have arrived."""
        if self._sent is not None:
            self._sent.synchronize()

    def send(self) -> None:
        if self._sent is not None:
            self.tensor.copy_(self._host, non_blocking=True)
            # Not the current card's stream, which may be another card's.
            self._sent.record(torch.cuda.current_stream(self.tensor.device))


def bucket_of(n: int, most: int, least: int = 1) -> int:
    """The smallest power of two that holds `n` and is no less than `least`; `most` if that is passed."""
    return min(max(1 << (n - 1).bit_length(), least), most)


def distance(wanted: Tensor, found: Tensor) -> float:
    """1 less the cosine of the rows [B, V] that are furthest apart; not a number where a value is none."""
    return 1 - torch.cosine_similarity(wanted.double(), found.double(), dim=-1).min().item()
