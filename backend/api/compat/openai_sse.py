"""Audio as server-sent events in OpenAI's format."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

NOT_INHERITED = ("content-type", "content-length", "content-disposition")


class SpeechEvents(Response):
    """Sends the body of `inner` as `speech.audio.delta` events, then one `speech.audio.done`.

    `usage` is called after the last chunk and returns the input and output tokens. Headers of `inner` are kept except
    for the content type. Errors of `inner` propagate.
    """

    def __init__(self, inner: Response, usage: Callable[[], tuple[int, int]]) -> None:
        inherited = {name: text for name, text in inner.headers.items() if name not in NOT_INHERITED}
        super().__init__(media_type="text/event-stream", headers=inherited)
        del self.headers["content-length"]
        self.headers["Cache-Control"] = "no-cache"
        self._inner, self._usage = inner, usage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_events(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send({**message, "headers": self.raw_headers})
                return
            audio, has_more = message.get("body", b""), message.get("more_body", False)
            events = b""
            if audio:
                events += _event({"type": "speech.audio.delta", "audio": base64.b64encode(audio).decode()})
            if not has_more:
                n_in, n_out = self._usage()
                usage = {"input_tokens": n_in, "output_tokens": n_out, "total_tokens": n_in + n_out}
                events += _event({"type": "speech.audio.done", "usage": usage})
            if events:
                await send({"type": "http.response.body", "body": events, "more_body": has_more})

        await self._inner(scope, receive, send_events)


def _event(content: dict) -> bytes:
    return f"data: {json.dumps(content)}\n\n".encode()
