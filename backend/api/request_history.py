"""The last speeches that were asked for, for someone who looks at the server."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice

MOST_KEPT = 500


@dataclass(frozen=True, slots=True)
class RecentSpeech:
    """One request and how it went. Times are seconds; the text is not kept."""

    id: str
    at: str  # ISO 8601, when it came in
    door: str  # the route
    voice: str | None
    n_chars: int
    status: str  # done, cancelled, failed or refused
    finish: str | None  # why the speech ended
    audio_s: float
    first_audio_s: float
    total_s: float
    rtf: float
    queue_s: float
    underrun_s: float


class RecentSpeeches:
    """At most `most_kept`, newest first."""

    def __init__(self, most_kept: int = MOST_KEPT) -> None:
        self._kept: deque[RecentSpeech] = deque(maxlen=most_kept)

    def add(self, speech: RecentSpeech) -> None:
        self._kept.appendleft(speech)

    def newest(self, n: int) -> list[RecentSpeech]:
        return list(islice(list(self._kept), n))
