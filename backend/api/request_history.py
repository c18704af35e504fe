"""History of the latest speech requests, served by `GET /requests`."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice

HISTORY_SIZE = 500


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One speech request and its result. Times are in seconds; the text is not stored."""

    id: str
    at: str  # arrival time, ISO 8601
    door: str  # the route
    voice: str | None
    n_chars: int
    status: str  # done, cancelled, failed or refused
    finish: str | None  # finish reason
    audio_s: float
    first_audio_s: float
    total_s: float
    rtf: float
    queue_s: float
    underrun_s: float


class RequestHistory:
    """Keeps the last `size` requests, newest first."""

    def __init__(self, size: int = HISTORY_SIZE) -> None:
        self._requests: deque[RequestRecord] = deque(maxlen=size)

    def add(self, speech: RequestRecord) -> None:
        self._requests.appendleft(speech)

    def newest(self, n: int) -> list[RequestRecord]:
        return list(islice(list(self._requests), n))
