"""Speech over a WebSocket: text is sent incrementally, audio is received while it is generated."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

PATH = "/v1/audio/speech/stream"
CONNECT_S = 10.0


class SpeechSessionError(Exception):
    """The backend is unreachable, or refused or aborted the session; the message can be shown to the user."""


@dataclass(frozen=True, slots=True)
class SessionMessage:
    """A message of the backend: audio (16-bit samples unless another format was requested), or a JSON object."""

    kind: str
    audio: bytes = b""
    body: dict[str, Any] | None = None


class SpeechSession:
    """An open session. Send text and iterate over the messages, from different threads if needed."""

    def __init__(self, url: str, api_key: str = "", **options: Any) -> None:
        """`options` are the fields of `start`: voice, seed, format, timings, pace and so on."""
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        address = url.replace("http", "ws", 1).rstrip("/") + PATH
        self._resources = ExitStack()
        try:
            self._socket = self._resources.enter_context(
                connect(address, additional_headers=headers, open_timeout=CONNECT_S, proxy=None)
            )
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise SpeechSessionError(f"{url} did not open a session ({error}). Check that it is ready.") from error
        if options:
            self._send({"type": "start", **options})

    def send_text(self, text: str) -> None:
        """Send text, split anywhere; a sentence is synthesized once it is complete."""
        self._send({"type": "text", "text": text})

    def flush(self) -> None:
        """Synthesize the text received so far without waiting for the end of the sentence."""
        self._send({"type": "flush"})

    def cancel(self) -> None:
        """Stop and discard the text not yet synthesized. New text may follow."""
        self._send({"type": "cancel"})

    def end(self) -> None:
        """End the input: the rest is synthesized, then the iteration ends."""
        self._send({"type": "end"})

    def __iter__(self) -> Iterator[SessionMessage]:
        """Yield messages until the end. Raises `SpeechSessionError` if the connection is lost."""
        try:
            for message in self._socket:
                if isinstance(message, bytes):
                    yield SessionMessage("audio", message)
                    continue
                body = json.loads(message)
                kind = body.get("type", "")
                yield (
                    SessionMessage(kind, base64.b64decode(body["audio"]))
                    if kind == "audio"
                    else SessionMessage(kind, body=body)
                )
        except ConnectionClosed as error:
            raise SpeechSessionError(f"The session was aborted ({error}). Try again.") from error

    def close(self) -> None:
        """Close the connection at once."""
        self._resources.close()

    def __enter__(self) -> SpeechSession:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._socket.send(json.dumps(message))
        except ConnectionClosed as error:
            raise SpeechSessionError(f"The session has ended ({error}). Start a new one.") from error
