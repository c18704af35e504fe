"""Idle timer that unloads the models after a period without requests."""

from __future__ import annotations

import threading
from collections.abc import Callable


class IdleTimer:
    """Calls `act` after `after_s` without a use; 0 disables it. Uses may overlap.

    `act` runs on a separate thread and must check `is_idle` again under the caller's lock.
    """

    def __init__(self, after_s: float, act: Callable[[], None]):
        self.after_s, self._act = after_s, act
        self._n_in_use = 0
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    @property
    def is_idle(self) -> bool:
        return self._n_in_use == 0

    def begin(self) -> None:
        with self._lock:
            self._n_in_use += 1
            self._stop()

    def end(self) -> None:
        with self._lock:
            self._n_in_use -= 1
            self._stop()
            if not self._n_in_use and self.after_s > 0:
                self._timer = threading.Timer(self.after_s, self._act)
                self._timer.daemon = True
                self._timer.start()

    def close(self) -> None:
        with self._lock:
            self._stop()
            self.after_s = 0.0

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
