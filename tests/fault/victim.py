"""Starts, monitors and kills a server process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

from backend.settings import ROOT

START_LIMIT_S = 300.0


class Victim:
    """A server process with its data folder, as a context manager. `start` may follow `kill`."""

    def __init__(self, engine: str, folder: Path, **settings: object) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._engine = engine
        self._log = folder / "server.log"
        changes = {"PORT": self.port, "DATA_DIR": folder / "data", "DEVICE": "cpu", "OMP_NUM_THREADS": 1}
        changes |= {name.upper(): value for name, value in settings.items()}
        self._env = dict(os.environ, PYTHONPATH=str(ROOT), **{name: str(value) for name, value in changes.items()})
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=60)
        self.start()

    def start(self) -> None:
        with open(self._log, "ab") as log:
            command = [sys.executable, "-m", "tests.fault.server", self._engine]
            self._process = subprocess.Popen(command, cwd=ROOT, env=self._env, stdout=log, stderr=log)
        self.watched = psutil.Process(self._process.pid)
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def _wait_until_ready(self) -> None:
        deadline_s = time.monotonic() + START_LIMIT_S
        while not self.is_ready():
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            assert time.monotonic() < deadline_s, "the server did not start"
            time.sleep(0.05)

    def is_ready(self) -> bool:
        try:
            return self.http.get("/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """Kills the process with SIGKILL."""
        self._process.kill()
        self._process.wait()

    def settled_bytes(self) -> int:
        """Returns its resident memory once it is idle."""
        self.wait_until_idle()
        return self.watched.memory_info().rss

    def wait_until_idle(self, limit_s: float = 30.0) -> None:
        deadline_s = time.monotonic() + limit_s
        while self.measure("phonogram_open_speeches"):
            assert time.monotonic() < deadline_s, "speeches without a client are still open"
            time.sleep(0.05)

    def measure(self, name: str) -> float:
        return self.http.get("/metrics?format=json").json()[name]

    def __enter__(self) -> Victim:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.kill()
