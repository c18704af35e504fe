"""What is under way at the door, so that it can be stopped without breaking anything off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backend.api.engine import RESTART_S, STOPS
from backend.api.speech_socket import SpeechSocket
from backend.errors import Stopping


class UnderWay:
    """Counts what a stop waits for: requests, and conversations that have something to say."""

    def __init__(self) -> None:
        self.is_stopping = False
        self._n_requests = 0
        self.conversations: set[SpeechSocket] = set()

    @property
    def n_speeches(self) -> int:
        """What is being answered or said."""
        return self._n_requests + sum(one.is_busy for one in self.conversations)

    def refuse_new(self) -> None:
        """From now on take nothing new; what is open goes on."""
        self.is_stopping = True

    def require_open(self) -> None:
        """Raise `Stopping` if nothing new is taken."""
        if self.is_stopping:
            raise Stopping(f"{STOPS} Try again in a moment.", RESTART_S)

    @contextmanager
    def request(self) -> Iterator[None]:
        """One request, from its body to the end of its answer."""
        self.require_open()
        self._n_requests += 1
        try:
            yield
        finally:
            self._n_requests -= 1
