"""Events of the Wyoming protocol: a line of JSON, then as many bytes of JSON and of payload as the line says."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from backend.errors import BadRequest, LimitExceeded, TimedOut

# The first version in which text can be streamed in.
PROTOCOL_VERSION = "1.7.0"
MAX_HEADER_BYTES = 1 << 16
# Nothing we understand has a payload; what comes is read and forgotten.
MAX_PAYLOAD_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Event:
    """One message of either side."""

    type: str
    data: dict[str, Any] = field(default_factory=dict)
    payload: bytes = b""

    def to_bytes(self) -> bytes:
        """The event as it goes over the wire."""
        data = json.dumps(self.data, ensure_ascii=False).encode() if self.data else b""
        header: dict[str, Any] = {"type": self.type, "version": PROTOCOL_VERSION}
        if data:
            header["data_length"] = len(data)
        if self.payload:
            header["payload_length"] = len(self.payload)
        return json.dumps(header).encode() + b"\n" + data + self.payload


async def read_event(
    reader: asyncio.StreamReader, *, max_data_bytes: int, idle_s: float, patience_s: float
) -> Event | None:  # fmt: skip
    """The next event, or None when the client has gone.

    `idle_s` may pass before its first line is there and `patience_s` until the rest is; the reader's own limit bounds
    that line. Raises `BadRequest` for what is no event, `LimitExceeded` before anything too large is read, `TimedOut`.
    """
    try:
        line = await asyncio.wait_for(reader.readuntil(b"\n"), idle_s)
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError:
        raise LimitExceeded(f"The line of an event is longer than {MAX_HEADER_BYTES} bytes. Send less.") from None
    except (asyncio.TimeoutError, TimeoutError):
        raise TimedOut(f"Nothing came for {idle_s:g} s. Connect again.") from None
    header = _object(line)
    kind, data = header.get("type"), header.get("data") or {}
    if not isinstance(kind, str) or not isinstance(data, dict):
        raise BadRequest("An event needs a type and, if it has data, an object of them. Send both.")
    n_data = _length(header, "data_length", max_data_bytes)
    n_payload = _length(header, "payload_length", MAX_PAYLOAD_BYTES)
    try:
        rest = await asyncio.wait_for(reader.readexactly(n_data + n_payload), patience_s)
    except asyncio.IncompleteReadError:
        return None
    except (asyncio.TimeoutError, TimeoutError):
        raise TimedOut(f"The rest of an event did not come within {patience_s:g} s. Connect again.") from None
    if n_data:
        data = {**data, **_object(rest[:n_data])}
    return Event(kind, data, rest[n_data:])


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadRequest("What came is no event; expected an object in JSON, in one line. Is this the right port?")
    return found


def _length(header: dict[str, Any], name: str, limit: int) -> int:
    n_bytes = header.get(name) or 0
    if not isinstance(n_bytes, int) or n_bytes < 0:
        raise BadRequest(f"{name} of an event is {str(n_bytes)[:20]!r}; expected a count of bytes. Correct it.")
    if n_bytes > limit:
        raise LimitExceeded(f"{name} of an event is {n_bytes}; the limit is {limit}. Send less.")
    return n_bytes
