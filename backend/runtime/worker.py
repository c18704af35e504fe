"""Worker thread that runs small steps. The only place that catches every exception."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from backend.errors import EngineFailure, PhonogramError

log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ThreadSetup:
    """Setup of a worker thread: its torch thread count (None: unchanged) and a context such as a CUDA stream."""

    n_cores: int | None = None
    scope: Callable[[], AbstractContextManager[Any]] = nullcontext


PLAIN_THREAD = ThreadSetup()


class Worker:
    """Runs `tick` on its own thread while it returns True, and again after each `wake`.

    An exception in `tick` is passed to `fail`, which must fail the affected requests; the thread continues. Exceptions
    other than `PhonogramError` are logged and wrapped in `EngineFailure`. When the thread ends, `fail_all` must fail
    all requests.
    """

    def __init__(
        self, name: str, tick: Callable[[], bool], fail: Callable[[PhonogramError], None],
        fail_all: Callable[[PhonogramError], None], setup: ThreadSetup = PLAIN_THREAD,
    ):  # fmt: skip
        self.name, self.setup = name, setup
        self._tick, self._fail, self._fail_all = tick, fail, fail_all
        # Returns the ids of the requests in progress, for the log.
        self.about: Callable[[], list[str]] = list
        self._calls: deque[tuple[Callable[[], object], Future]] = deque()
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive() and not self._is_closing

    def wake(self) -> None:
        """Run `tick` again. Cheap and thread-safe."""
        self._woken.set()

    def call(self, function: Callable[[], Result]) -> Future[Result]:
        """Run `function` on the worker's thread between two ticks."""
        future: Future[Result] = Future()
        with self._lock:
            if self._is_closing:
                raise EngineFailure("The engine is closed. Start it again.")
            self._calls.append((function, future))
        self.wake()
        return future

    def close(self, timeout_s: float = 30.0) -> None:
        """Stop the thread after the current step. Idempotent."""
        with self._lock:
            self._is_closing = True
        self.wake()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                log.warning("The %s thread did not stop within %.0f s.", self.name, timeout_s)

    def _run(self) -> None:
        if self.setup.n_cores is not None:
            # Affects the calling thread only.
            torch.set_num_threads(self.setup.n_cores)
        with torch.inference_mode(), self.setup.scope():
            while not self._is_closing:
                self._woken.clear()
                self._run_calls()
                if not self._safe_tick() and not self._calls:
                    self._woken.wait()
        closed = EngineFailure("The engine was closed during this request. Start it again.")
        self._fail_all(closed)
        with self._lock:
            waiting = list(self._calls)
        for _, future in waiting:
            future.set_exception(closed)

    def attempt(self, function: Callable[[], Result]) -> Result | PhonogramError:
        """Return the result of `function`, or its exception as a `PhonogramError`."""
        try:
            return function()
        except PhonogramError as error:
            return error
        except Exception as error:
            about = {"request_id": ",".join(filter(None, self.about()))}
            log.error("The %s thread failed.", self.name, exc_info=error, extra=about)
            failure = EngineFailure(
                f"The {self.name} thread failed ({type(error).__name__}). The log has the details; try again, or "
                "restart the server."
            )
            failure.__cause__ = error
            return failure

    def _safe_tick(self) -> bool:
        outcome = self.attempt(self._tick)
        if isinstance(outcome, PhonogramError):
            self._fail(outcome)
            return True
        return outcome

    def _run_calls(self) -> None:
        while self._calls and not self._is_closing:
            with self._lock:
                function, future = self._calls.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            outcome = self.attempt(function)
            if isinstance(outcome, PhonogramError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
