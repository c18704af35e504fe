"""An answer whose body is changed while it is sent, piece by piece."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from backend.audio.pcm import from_int16, to_int16
from backend.audio.resample import StreamResampler

# The next piece of the old body, and whether it is the last, to a piece of the new one.
Rewrite: TypeAlias = Callable[[bytes, bool], bytes]


class RewrittenBody(Response):
    """Sends what `inner` sends, rewritten. If `inner` breaks off, so does this. Both have the same headers."""

    def __init__(self, inner: Response, rewrite: Rewrite) -> None:
        self.status_code, self.background, self.body = inner.status_code, inner.background, b""
        self.raw_headers = inner.raw_headers
        self._inner, self._rewrite = inner, rewrite

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def rewritten(message: Message) -> None:
            if message["type"] == "http.response.body":
                is_last = not message.get("more_body", False)
                body = self._rewrite(message.get("body", b""), is_last)
                if not body and not is_last:
                    return
                message = {**message, "body": body}
            await send(message)

        await self._inner(scope, receive, rewritten)


class PcmRate:
    """Rewrites 16-bit little-endian samples to another rate and one channel."""

    def __init__(self, from_hz: int, to_hz: int, n_channels: int) -> None:
        self._resampler = StreamResampler(from_hz, to_hz, 1)
        self._n_channels = n_channels

    def __call__(self, piece: bytes, is_last: bool) -> bytes:
        frames = np.frombuffer(piece, "<i2").reshape(-1, self._n_channels)
        mono = from_int16(frames).mean(axis=1, dtype=np.float32)[None]
        samples = [self._resampler.push(mono)]
        if is_last:
            samples.append(self._resampler.finish())
        return to_int16(np.concatenate(samples, axis=1)[0]).astype("<i2").tobytes()


class SpeechEvents:
    """Rewrites sound to server-sent events: `speech.audio.delta` for each piece, then one `speech.audio.done`.

    `usage` is asked after the last piece for the tokens that came in and went out.
    """

    def __init__(self, usage: Callable[[], tuple[int, int]]) -> None:
        self._usage = usage

    def __call__(self, piece: bytes, is_last: bool) -> bytes:
        events = b""
        if piece:
            events += _event({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()})
        if is_last:
            n_in, n_out = self._usage()
            usage = {"input_tokens": n_in, "output_tokens": n_out, "total_tokens": n_in + n_out}
            events += _event({"type": "speech.audio.done", "usage": usage})
        return events


def _event(content: dict) -> bytes:
    return f"data: {json.dumps(content)}\n\n".encode()
