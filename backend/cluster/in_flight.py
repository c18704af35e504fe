"""What is under way at the door, so that it can be stopped without breaking anything off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backend.api.engine_host import Drainable
from backend.api.speech.websocket import SpeechSocket


class InFlight(Drainable):
    """Counts what a stop waits for: requests, and conversations that have something to say."""

    def __init__(self) -> None:
        self._n_requests = 0
        self.conversations: set[SpeechSocket] = set()

    @property
    def n_speeches(self) -> int:
        """What is being answered or said."""
        return self._n_requests + sum(one.is_busy for one in self.conversations)

    @contextmanager
    def request(self) -> Iterator[None]:
        """One request, from its body to the end of its answer."""
        self.require_open()
        self._n_requests += 1
        try:
            yield
        finally:
            self._n_requests -= 1
