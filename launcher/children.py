"""Child processes of the launcher: if one server ends, all are stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable

from launcher import place
from launcher.place import IS_WINDOWS


def child_environment(n_threads: int | None = None) -> dict[str, str]:
    """Return the environment of the child processes. Variables that the user has set take precedence.

    Thread settings must be in the environment before torch is imported.
    """
    env = dict(os.environ)
    env.setdefault("OMP_NUM_THREADS", str(n_threads or usable_cores()))
    # Intel's OpenMP otherwise busy-waits for 200 ms after each operation.
    env.setdefault("KMP_BLOCKTIME", "1")
    env.setdefault("PYTHONUTF8", "1")
    env.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    return env


def usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Children:
    """The started server processes."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen] = {}
        self.stop_requested = threading.Event()
        for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), lambda *_: self.stop_requested.set())

    def start(self, name: str, command: list[str], env: dict[str, str]) -> None:
        # In a new process group, so that Ctrl-C reaches only the launcher and stopping the group stops grandchildren.
        if IS_WINDOWS:
            flags = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined]
        else:
            flags = {"start_new_session": True}
        self._running[name] = subprocess.Popen(command, cwd=place.ROOT, env=env, **flags)

    def wait_until(self, is_up: Callable[[], bool], limit_s: float = 180.0) -> bool:
        """Wait until `is_up()`; returns False if a server ends, a stop is requested, or the time is over."""
        deadline_s = time.monotonic() + limit_s
        while time.monotonic() < deadline_s and not self.ended() and not self.stop_requested.is_set():
            if is_up():
                return True
            self.stop_requested.wait(0.2)
        return False

    def ended(self) -> str | None:
        return next((name for name, process in self._running.items() if process.poll() is not None), None)

    def stop(self) -> None:
        """Terminate all process groups, and kill them after ten seconds."""
        for process in self._running.values():
            self._signal(process, "SIGTERM")
        deadline_s = time.monotonic() + 10
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline_s - time.monotonic()))
            self._signal(process, "SIGKILL")
            process.wait()

    @staticmethod
    def _signal(process: subprocess.Popen, name: str) -> None:
        if IS_WINDOWS:
            if process.poll() is None:
                subprocess.call(["taskkill", "/T", "/F", "/PID", str(process.pid)], stdout=subprocess.DEVNULL)
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, getattr(signal, name))
