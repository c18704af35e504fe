"""Threads that compute shares of one job: the caller and helpers that wait in compiled code between jobs.

Helpers spin for a fraction of a millisecond, so that the passes of a frame follow without a wake-up, then sleep.
"""

from __future__ import annotations

import logging
import threading
from functools import cache

import numpy as np

from backend.errors import EngineFailure
from backend.optimize.cpu_kernel.compilation import Functions
from backend.optimize.cpu_kernel.layout import T_ARRIVED, T_BASE, T_FAILED, T_JOB, T_SEQUENCE, TEAM_WORDS

log = logging.getLogger(__name__)


class Team:
    """`n_threads` threads, the caller included; one job at a time."""

    def __init__(self, functions: Functions, n_threads: int):
        self.functions, self.n_threads = functions, n_threads
        self._words = np.zeros(TEAM_WORDS, np.int64)
        self._address = self._words.ctypes.data
        self._lock, self._parking = threading.Lock(), threading.Lock()
        self._wake_ups = [threading.Event() for _ in range(n_threads - 1)]
        self._is_closed = False
        self._threads = [
            threading.Thread(target=self._help, args=(index,), name=f"cpu-kernel-{index + 1}", daemon=True)
            for index in range(n_threads - 1)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, job: np.ndarray) -> None:
        """Computes `job`. Raises `EngineFailure` if a helper thread has ended."""
        words = self._words
        with self._lock:
            if self._is_closed or words[T_FAILED] or not all(thread.is_alive() for thread in self._threads):
                raise EngineFailure(
                    f"A thread of the CPU kernels has ended; {self.n_threads} are needed. Restart the server, or set "
                    "ENABLE_CPU_KERNEL=false."
                )
            words[T_BASE], words[T_JOB] = words[T_ARRIVED], job.ctypes.data
            with self._parking:
                words[T_SEQUENCE] += 1
                for wake_up in self._wake_ups:
                    wake_up.set()
            if self.functions.run(self._address, 0, self.n_threads):
                raise EngineFailure(
                    "A thread of the CPU kernels ended during a frame. Restart the server, or set "
                    "ENABLE_CPU_KERNEL=false."
                )

    def close(self) -> None:
        """Ends the helpers."""
        self._is_closed = True
        for wake_up in self._wake_ups:
            wake_up.set()
        for thread in self._threads:
            thread.join()

    def _help(self, index: int) -> None:
        words, wake_up, seen = self._words, self._wake_ups[index], 0
        try:
            while not self._is_closed:
                seen = self.functions.serve(self._address, index + 1, self.n_threads, seen)
                if seen < 0:
                    return
                with self._parking:
                    if words[T_SEQUENCE] > seen:
                        continue
                    wake_up.clear()
                wake_up.wait()
        finally:
            if not self._is_closed:
                words[T_FAILED] = 1


@cache
def team(functions: Functions, n_threads: int) -> Team:
    """Returns the process's team of `n_threads`."""
    return Team(functions, n_threads)
