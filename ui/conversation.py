"""Speech over a WebSocket: text goes in as it comes to be, sound comes out while it does."""

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


class ConversationError(Exception):
    """The backend is away, refused the conversation or broke it off; the text can be shown as it is."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One message of the backend: sound (16-bit samples unless another format was asked for), or what it tells."""

    kind: str
    sound: bytes = b""
    told: dict[str, Any] | None = None


class SpeechConversation:
    """An open conversation. Say what comes, iterate over what is heard; another thread may do either."""

    def __init__(self, url: str, api_key: str = "", **options: Any) -> None:
        """`options` are the fields of `start`: voice, seed, format, timings, pace and so on."""
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        address = url.replace("http", "ws", 1).rstrip("/") + PATH
        self._opened = ExitStack()
        try:
            self._socket = self._opened.enter_context(
                connect(address, additional_headers=headers, open_timeout=CONNECT_S, proxy=None)
            )
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise ConversationError(f"{url} opens no conversation ({error}). Check that it is ready.") from error
        if options:
            self._send({"type": "start", **options})

    def say(self, text: str) -> None:
        """More text, cut anywhere; a sentence is spoken once it is complete."""
        self._send({"type": "text", "text": text})

    def flush(self) -> None:
        """Speak what has come, without waiting for the end of its sentence."""
        self._send({"type": "flush"})

    def cancel(self) -> None:
        """Stop speaking and forget what was not spoken. New text may follow."""
        self._send({"type": "cancel"})

    def end(self) -> None:
        """There is no more text: what is left is spoken, then the iteration ends."""
        self._send({"type": "end"})

    def __iter__(self) -> Iterator[Heard]:
        """What comes, until the end. Raises `ConversationError` if the backend breaks off."""
        try:
            for message in self._socket:
                if isinstance(message, bytes):
                    yield Heard("sound", message)
                    continue
                told = json.loads(message)
                kind = told.get("type", "")
                yield Heard("sound", base64.b64decode(told["audio"])) if kind == "audio" else Heard(kind, told=told)
        except ConnectionClosed as error:
            raise ConversationError(f"The conversation was broken off ({error}). Try again.") from error

    def close(self) -> None:
        """Leave, whatever is being said."""
        self._opened.close()

    def __enter__(self) -> SpeechConversation:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._socket.send(json.dumps(message))
        except ConnectionClosed as error:
            raise ConversationError(f"The conversation is over ({error}). Begin a new one.") from error
