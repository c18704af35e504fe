"""A thread that owns something and works on it in small steps. The one place that catches every error."""

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
    """How a worker's thread computes: with how many cores (None: as torch is set), and inside what, such as a stream."""

    n_cores: int | None = None
    scope: Callable[[], AbstractContextManager[Any]] = nullcontext


PLAIN_THREAD = ThreadSetup()


class Worker:
    """Runs `tick` on a thread of its own for as long as it returns true, and again whenever `wake` is called.

    An error of `tick` goes to `fail`, which must pass it on to those it concerns; the thread goes on. Errors that
    are not ours are logged and wrapped in `EngineFailure`. At the end of the thread `fail_all` must tell everyone.
    """

    def __init__(
        self, name: str, tick: Callable[[], bool], fail: Callable[[PhonogramError], None],
        fail_all: Callable[[PhonogramError], None], setup: ThreadSetup = PLAIN_THREAD,
    ):  # fmt: skip
        self.name, self.setup = name, setup
        self._tick, self._fail, self._fail_all = tick, fail, fail_all
        # The ids of the requests at work, for the log.
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
        """There may be something to do. Cheap, from any thread."""
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
        """End the thread after the step it is in; twice is fine."""
        with self._lock:
            self._is_closing = True
        self.wake()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                log.warning("The %s thread is still inside a step after %.0f s.", self.name, timeout_s)

    def _run(self) -> None:
        if self.setup.n_cores is not None:
            # Holds for the calling thread only.
            torch.set_num_threads(self.setup.n_cores)
        with torch.inference_mode(), self.setup.scope():
            while not self._is_closing:
                self._woken.clear()
                self._run_calls()
                if not self._safe_tick() and not self._calls:
                    self._woken.wait()
        closed = EngineFailure("The engine was closed while it worked on this. Start it again.")
        self._fail_all(closed)
        with self._lock:
            waiting = list(self._calls)
        for _, future in waiting:
            future.set_exception(closed)

    def attempt(self, function: Callable[[], Result]) -> Result | PhonogramError:
        """What `function` returns, or the error it ended with: for work whose failure is one request's own."""
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
