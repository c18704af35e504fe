"""Wyoming protocol events: a JSON header line, then the JSON data and payload of the lengths it gives."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from backend.errors import BadRequest, LimitExceeded, TimedOut

# The first version with streaming text input.
PROTOCOL_VERSION = "1.7.0"
MAX_HEADER_BYTES = 1 << 16
# No supported event has a payload; payloads are read and dropped.
MAX_PAYLOAD_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Event:
    """One message of the client or the server."""

    type: str
    data: dict[str, Any] = field(default_factory=dict)
    payload: bytes = b""

    def to_bytes(self) -> bytes:
        """Returns the serialized event."""
        data = json.dumps(self.data, ensure_ascii=False).encode() if self.data else b""
        header: dict[str, Any] = {"type": self.type, "version": PROTOCOL_VERSION}
        if data:
            header["data_length"] = len(data)
        if self.payload:
            header["payload_length"] = len(self.payload)
        return json.dumps(header).encode() + b"\n" + data + self.payload


async def read_event(
    reader: asyncio.StreamReader, *, max_data_bytes: int, idle_s: float, timeout_s: float
) -> Event | None:  # fmt: skip
    """Returns the next event, or None when the client has disconnected.

    Waits `idle_s` for the header line, whose length the reader limits, and `timeout_s` for the rest. Raises
    `BadRequest` for an invalid event, `LimitExceeded` before reading anything too large, and `TimedOut`.
    """
    try:
        line = await asyncio.wait_for(reader.readuntil(b"\n"), idle_s)
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError:
        raise LimitExceeded(f"The header line of an event exceeds {MAX_HEADER_BYTES} bytes. Send less.") from None
    except (asyncio.TimeoutError, TimeoutError):
        raise TimedOut(f"No event arrived for {idle_s:g} s. Connect again.") from None
    header = _parse_object(line)
    kind, data = header.get("type"), header.get("data") or {}
    if not isinstance(kind, str) or not isinstance(data, dict):
        raise BadRequest("An event needs a type, and its data must be an object. Send both.")
    n_data = _checked_length(header, "data_length", max_data_bytes)
    n_payload = _checked_length(header, "payload_length", MAX_PAYLOAD_BYTES)
    try:
        rest = await asyncio.wait_for(reader.readexactly(n_data + n_payload), timeout_s)
    except asyncio.IncompleteReadError:
        return None
    except (asyncio.TimeoutError, TimeoutError):
        raise TimedOut(f"The rest of an event did not arrive within {timeout_s:g} s. Connect again.") from None
    if n_data:
        data = {**data, **_parse_object(rest[:n_data])}
    return Event(kind, data, rest[n_data:])


def _parse_object(content: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise BadRequest("Got something other than an event; expected one line with a JSON object. Check the port.")
    return parsed


def _checked_length(header: dict[str, Any], name: str, limit: int) -> int:
    n_bytes = header.get(name) or 0
    if not isinstance(n_bytes, int) or n_bytes < 0:
        raise BadRequest(f"{name} of an event is {str(n_bytes)[:20]!r}; expected a number of bytes. Correct it.")
    if n_bytes > limit:
        raise LimitExceeded(f"{name} of an event is {n_bytes}; the limit is {limit}. Send less.")
    return n_bytes
