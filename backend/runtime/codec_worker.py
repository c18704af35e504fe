"""The codec thread: runs encode and decode tasks, earliest deadline first."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Protocol, TypeVar

from backend.errors import PhonogramError, TimedOut
from backend.runtime.worker import PLAIN_THREAD, ThreadSetup, Worker

if TYPE_CHECKING:
    from backend.codec.base import CausalCodec


Result = TypeVar("Result")


class CodecTask(Protocol):
    """Codec work in small steps. Only `is_over` is read from other threads."""

    @property
    def request_id(self) -> str:
        """Id of the request, for the log."""

    @property
    def due_s(self) -> float:
        """Deadline of the next step on the monotonic clock."""

    @property
    def is_ready(self) -> bool:
        """Whether `advance` can make progress now."""

    @property
    def is_over(self) -> bool:
        """Whether the task is done, failed or cancelled."""

    def advance(self, codec: CausalCodec) -> None:
        """Run one step."""

    def fail(self, error: PhonogramError) -> None:
        """Fail the task with `error`."""


class CodecWorker:
    """Runs tasks earliest deadline first, so first chunks and streams near an underrun overtake long tasks."""

    def __init__(self, codec: CausalCodec, setup: ThreadSetup = PLAIN_THREAD):
        self.codec = codec
        self._tasks: list[CodecTask] = []
        self._current: CodecTask | None = None
        self._lock = threading.Lock()
        self.worker = Worker("codec", self._tick, self._fail, self._fail_all, setup)
        self.worker.about = lambda: [] if self._current is None else [self._current.request_id]

    def start(self) -> None:
        self.worker.start()

    def close(self) -> None:
        self.worker.close()

    def wake(self) -> None:
        self.worker.wake()

    def add(self, task: CodecTask) -> None:
        """Add a task. Call `wake` whenever `is_ready` may have changed."""
        with self._lock:
            self._tasks.append(task)
        self.worker.wake()

    def wait_for(self, task: CodecTask, future: Future[Result], timeout_s: float) -> Result:
        """Add a task and wait for its result. Raises `TimedOut`."""
        self.add(task)
        try:
            return future.result(timeout_s)
        except FutureTimeout as error:
            timed_out = TimedOut(
                f"The codec took longer than {timeout_s:.0f} s. Try again when the server is less busy."
            )
            task.fail(timed_out)
            raise timed_out from error

    @property
    def n_tasks(self) -> int:
        return len(self._tasks)

    def _tick(self) -> bool:
        with self._lock:
            self._tasks = [task for task in self._tasks if not task.is_over]
            ready = [task for task in self._tasks if task.is_ready]
        task = min(ready, key=lambda task: task.due_s, default=None)
        if task is None:
            return False
        self._current = task
        task.advance(self.codec)
        return True

    def _fail(self, error: PhonogramError) -> None:
        task = self._current
        if task is not None:
            task.fail(error)

    def _fail_all(self, error: PhonogramError) -> None:
        with self._lock:
            tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.fail(error)
