"""HTTP server with graceful shutdown: running speech ends before the server stops."""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import Protocol

import uvicorn

from backend.errors import NotAvailable

log = logging.getLogger(__name__)


def require_free(host: str, port: int) -> None:
    """Raises `NotAvailable` if the port is not free."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as listener:
                # Like the server, ignore connections in TIME_WAIT.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name == "posix")
                listener.bind(address)
    except OSError as error:
        raise NotAvailable(
            f"Cannot listen on {host} at port {port}: {(error.strerror or str(error)).lower()}. Stop the program that "
            "uses it, or choose another with --host and --port."
        ) from error


class Host(Protocol):
    """The `state.host` of an application, which a shutdown drains."""

    @property
    def n_speeches(self) -> int: ...

    def drain(self) -> None: ...


class GracefulServer(uvicorn.Server):
    """On shutdown, rejects new speech and waits up to `drain_s` for running speech. A second Ctrl-C stops at once."""

    def __init__(self, config: uvicorn.Config, drain_s: float) -> None:
        super().__init__(config)
        self.drain_s = drain_s
        self._deadline_s: float | None = None

    async def on_tick(self, counter: int) -> bool:
        should_stop = await super().on_tick(counter)
        if not should_stop or self.force_exit:
            return should_stop
        host: Host | None = getattr(getattr(self.config.app, "state", None), "host", None)
        if host is None:
            return True
        if self._deadline_s is None:
            self._deadline_s = time.monotonic() + self.drain_s
            host.drain()
            log.info("Shutting down: %d running speeches get %.0f s to end.", host.n_speeches, self.drain_s)
        return host.n_speeches == 0 or time.monotonic() > self._deadline_s
