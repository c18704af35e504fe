"""Requests in flight at the gateway, for a graceful shutdown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backend.api.engine_host import Drainable
from backend.api.speech.websocket import SpeechSocket


class InFlight(Drainable):
    """Counts the requests and busy WebSockets that a shutdown waits for."""

    def __init__(self) -> None:
        self._n_requests = 0
        self.sockets: set[SpeechSocket] = set()

    @property
    def n_speeches(self) -> int:
        """Number of open requests and of WebSockets with speech in progress."""
        return self._n_requests + sum(socket.is_busy for socket in self.sockets)

    @contextmanager
    def request(self) -> Iterator[None]:
        """Counts one request inside the block. Raises `ShuttingDown` while draining."""
        self.require_open()
        self._n_requests += 1
        try:
            yield
        finally:
            self._n_requests -= 1
