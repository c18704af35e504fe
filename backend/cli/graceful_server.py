"""The HTTP server, which lets running speech end before it stops."""

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
    """Raise `NotAvailable` if nothing could listen there."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as listener:
                # As the server does: connections that ended just now do not count.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name == "posix")
                listener.bind(address)
    except OSError as error:
        raise NotAvailable(
            f"Nothing can listen on {host} at port {port}: {(error.strerror or str(error)).lower()}. Stop what does, or "
            "name another with --host and --port."
        ) from error


class Host(Protocol):
    """The `state.host` of an application: what a stop waits for."""

    @property
    def n_speeches(self) -> int: ...

    def refuse_new(self) -> None: ...


class GracefulServer(uvicorn.Server):
    """Asked to stop, it refuses new speech and goes on until the open ones are done, for `patience_s` at most.

    Asked a second time by Ctrl-C, it stops at once.
    """

    def __init__(self, config: uvicorn.Config, patience_s: float) -> None:
        super().__init__(config)
        self.patience_s = patience_s
        self._stops_at_s: float | None = None

    async def on_tick(self, counter: int) -> bool:
        is_asked_to_stop = await super().on_tick(counter)
        if not is_asked_to_stop or self.force_exit:
            return is_asked_to_stop
        host: Host | None = getattr(getattr(self.config.app, "state", None), "host", None)
        if host is None:
            return True
        if self._stops_at_s is None:
            self._stops_at_s = time.monotonic() + self.patience_s
            host.refuse_new()
            log.info("Stopping: %d open speeches get %.0f s to end.", host.n_speeches, self.patience_s)
        return host.n_speeches == 0 or time.monotonic() > self._stops_at_s
