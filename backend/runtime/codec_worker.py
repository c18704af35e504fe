"""The thread that owns the codec: whoever's sound runs out first gets the next piece of work."""

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
    """Work for the codec in small pieces, with a state of its own. All but `is_over` is used by the codec's thread."""

    @property
    def request_id(self) -> str:
        """Whose work it is, for the log."""

    @property
    def due_s(self) -> float:
        """When the next piece is needed, on the monotonic clock."""

    @property
    def is_ready(self) -> bool:
        """Whether `advance` would get anywhere now."""

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to do, for whatever reason."""

    def advance(self, codec: CausalCodec) -> None:
        """Do one piece of work."""

    def fail(self, error: PhonogramError) -> None:
        """Pass an error on to whoever waits; the task is then over."""


class CodecWorker:
    """Serves tasks earliest due first, so that first sounds and streams about to run dry overtake long work."""

    def __init__(self, codec: CausalCodec, setup: ThreadSetup = PLAIN_THREAD):
        self.codec = codec
        self._tasks: list[CodecTask] = []
        self._at_work: CodecTask | None = None
        self._lock = threading.Lock()
        self.worker = Worker("codec", self._tick, self._fail, self._fail_all, setup)
        self.worker.about = lambda: [] if self._at_work is None else [self._at_work.request_id]

    def start(self) -> None:
        self.worker.start()

    def close(self) -> None:
        self.worker.close()

    def wake(self) -> None:
        self.worker.wake()

    def add(self, task: CodecTask) -> None:
        """Take a task on. Whoever changes whether it is ready calls `wake`."""
        with self._lock:
            self._tasks.append(task)
        self.worker.wake()

    def wait_for(self, task: CodecTask, future: Future[Result], timeout_s: float) -> Result:
        """Take a task on and wait for what becomes of it. Raises `TimedOut`."""
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
        self._at_work = task
        task.advance(self.codec)
        return True

    def _fail(self, error: PhonogramError) -> None:
        task = self._at_work
        if task is not None:
            task.fail(error)

    def _fail_all(self, error: PhonogramError) -> None:
        with self._lock:
            tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.fail(error)
