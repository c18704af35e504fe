"""Timestamps of running and recent speeches, for clients that highlight the words while the audio plays."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from backend.errors import BadRequest

HEADER = "x-timings-id"
# The id works like a password for the text of one speech, so short ones are rejected.
TIMINGS_ID = re.compile(r"[A-Za-z0-9-]{16,64}")
MAX_KEPT = 64


class TimedStream(Protocol):
    """A speech whose timestamps grow while it is generated."""

    @property
    def sentences(self) -> Sequence[Any]: ...


class SpeechTimings(NamedTuple):
    """The sentences so far; `is_complete` after the last one."""

    sentences: Sequence[Any]
    is_complete: bool


class LiveTimings:
    """Timestamps by the id that a client chose for its speech; the latest `MAX_KEPT` are kept in memory."""

    def __init__(self) -> None:
        self._streams: OrderedDict[str, TimedStream | SpeechTimings] = OrderedDict()

    def start(self, timings_id: str, stream: TimedStream) -> None:
        """Keep the timestamps of `stream` under `timings_id`. Raises `BadRequest` for an id that can be guessed."""
        check_timings_id(timings_id)
        self._streams[timings_id] = stream
        self._streams.move_to_end(timings_id)
        while len(self._streams) > MAX_KEPT:
            self._streams.popitem(last=False)

    def finish(self, timings_id: str) -> None:
        """Replace the stream by its timestamps, so that its audio can be freed."""
        stream = self._streams.get(timings_id)
        if stream is not None and not isinstance(stream, SpeechTimings):
            self._streams[timings_id] = SpeechTimings(stream.sentences, True)

    def find(self, timings_id: str) -> SpeechTimings | None:
        """Return the timestamps so far, or None for an unknown id."""
        found = self._streams.get(timings_id)
        return found if found is None or isinstance(found, SpeechTimings) else SpeechTimings(found.sentences, False)


def check_timings_id(timings_id: str) -> None:
    """Raise `BadRequest` unless the id has 16 to 64 letters, digits and hyphens."""
    if not TIMINGS_ID.fullmatch(timings_id):
        raise BadRequest(
            f"X-Timings-Id has {len(timings_id)} characters; expected 16 to 64 letters, digits or hyphens. Send a UUID."
        )
