"""Speech as an HTTP response, whole or streamed, cancelled when the client disconnects."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from itertools import chain
from typing import Any

import numpy as np
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backend.api.dependencies import client_of, history_of, host_of, metrics_of
from backend.api.engine_host import MAX_SPEECHES, SpeechStreamProtocol
from backend.api.metrics import Outcome, PlaybackClock
from backend.api.request_history import RequestRecord
from backend.api.speech.headers import headers_at_end, headers_at_start
from backend.api.speech.live_timings import HEADER, LiveTimings, check_timings_id
from backend.audio.files import encode_audio
from backend.audio.waveform import Waveform
from backend.audio.writers import FORMATS, Writer, open_writer
from backend.errors import Busy, Cancelled, EngineFailure, PhonogramError
from backend.runtime.request import SpeechRequest

log = logging.getLogger(__name__)

# Logged when a client disconnects before the response; no client receives it.
CLIENT_CLOSED_REQUEST = 499

MEDIA_TYPES = {
    "wav": "audio/wav",
    "pcm": "audio/pcm",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "opus": "audio/ogg; codecs=opus",
    "mp3": "audio/mpeg",
    "aac": "audio/aac",
    "m4b": "audio/mp4",
}


@asynccontextmanager
async def on_disconnect(receive: Receive, callback: Callable[[], None]) -> AsyncIterator[None]:
    """Calls `callback` if the client disconnects inside the block."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        callback()

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()


class SpeechRun:
    """One speech from its request to its last byte. Records metrics and history, and cancels unfinished work."""

    def __init__(self, connection: HTTPConnection, request: SpeechRequest, arrived_s: float | None = None) -> None:
        """`arrived_s`: time of the request on the performance counter, if it came after the connection."""
        self.host = host_of(connection)
        self._metrics, self._history = metrics_of(connection), history_of(connection)
        self._connection, self._request = connection, request
        self._timings: LiveTimings = connection.app.state.timings
        self._timings_id = connection.headers.get(HEADER)
        self._arrived_at = datetime.now(timezone.utc)
        self._stream: SpeechStreamProtocol | None = None
        self.chunks: Iterator[Waveform] = iter(())
        self.playback = PlaybackClock(connection.state.arrived_s if arrived_s is None else arrived_s)
        self.is_cancelled = self.is_streamed = False
        self._outcome: Outcome = "refused"
        self.first_audio_s = 0.0

    @property
    def stream(self) -> SpeechStreamProtocol:
        assert self._stream is not None, "the speech was not opened"
        return self._stream

    def cancel(self) -> None:
        """Stops generating, because the client has disconnected or cancelled."""
        self.is_cancelled = True
        if self._stream is not None:
            self._stream.cancel()

    async def open(self) -> Waveform:
        """Starts the speech and returns the first chunk. Raises the errors of the engine."""
        self.host.n_speeches += 1
        self._metrics.open_speeches.inc()
        if self._timings_id is not None:
            check_timings_id(self._timings_id)
        if self.host.n_speeches > MAX_SPEECHES:
            raise Busy(f"{MAX_SPEECHES} speech requests are running or queued. Try again soon.", retry_after_s=1.0)
        self.host.require_open()
        engine, client = self.host.engine, client_of(self._connection)

        def start() -> Waveform:
            self._stream = engine.begin(self._request, client)
            if self._timings_id is not None:
                self._timings.start(self._timings_id, self._stream)
            if self.is_cancelled:  # while the thread was starting
                self._stream.cancel()
            self.chunks = iter(self._stream)
            first = next(self.chunks, None)
            if first is None:
                raise EngineFailure("The engine generated no audio for this text. Change the text or the voice.")
            return first

        first = await self.host.run(start)
        self.first_audio_s = time.perf_counter() - self.playback.arrived_s
        self._outcome = "failed"
        return first

    async def next(self) -> Waveform | None:
        """Returns the next chunk, or None after the last."""
        return await self.host.run(next, self.chunks, None)

    async def sentences(self) -> Sequence[Any]:
        """Returns the sentence timestamps; complete after the last chunk."""
        return await self.host.run(lambda: self.stream.sentences)

    async def run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Runs a blocking call in the engine's thread pool."""
        return await self.host.run(call, *arguments)

    async def whole(self, first: Waveform) -> Waveform:
        """Waits for all chunks and returns them joined."""

        def join() -> Waveform:
            return Waveform(
                np.concatenate([first.samples, *(chunk.samples for chunk in self.chunks)], axis=1), first.rate_hz
            )

        return await self.host.run(join)

    def sent(self, duration_s: float) -> None:
        """Records that audio of this duration was sent to the client now."""
        self.playback.sent(duration_s, time.perf_counter())

    def finish(self) -> None:
        """Marks the speech as done, after the last chunk was sent."""
        self._outcome = "done"
        self._metrics.observe_speech(self.stream.metrics, self.playback, self.is_streamed)

    def close(self) -> None:
        """Records the outcome and cancels the engine's stream if it is unfinished. Call it once."""
        if self._outcome != "done" and self._stream is not None:
            self._stream.cancel()
        if self._timings_id is not None and self._stream is not None:
            self._timings.finish(self._timings_id)
        outcome: Outcome = "cancelled" if self.is_cancelled and self._outcome != "done" else self._outcome
        self.host.n_speeches -= 1
        self._metrics.open_speeches.dec()
        self._metrics.speeches.labels(outcome).inc()
        self._history.add(self._record(outcome))

    def _record(self, outcome: Outcome) -> RequestRecord:
        connection, playback = self._connection, self.playback
        metrics = None if self._stream is None else self._stream.metrics
        audio_s = metrics.audio_s if metrics else 0.0
        return RequestRecord(
            id=connection.state.request_id, at=self._arrived_at.isoformat(timespec="milliseconds"),
            door=getattr(connection.scope.get("route"), "path", connection.url.path), voice=self._request.voice,
            n_chars=len(self._request.text), status=outcome, finish=metrics.finish_reason if metrics and outcome == "done" else None,
            audio_s=round(audio_s, 3), first_audio_s=round(playback.first_audio_s, 4),
            total_s=round(playback.total_s, 4), rtf=round(playback.total_s / audio_s, 4) if audio_s else 0.0,
            queue_s=round(metrics.queue_s, 4) if metrics else 0.0, underrun_s=round(playback.underrun_s, 4),
        )  # fmt: skip


async def speak(request: Request, speech_request: SpeechRequest, format: str, is_streaming: bool) -> Response:
    """Returns the response with the speech. Waits for the first chunk, so that errors get their own status."""
    speech = SpeechRun(request, speech_request)
    response: StreamingSpeechResponse | None = None
    try:
        async with on_disconnect(request.receive, speech.cancel):
            first = await speech.open()
            if not is_streaming:
                return await _whole_response(speech, first, format)
        response = StreamingSpeechResponse(speech, first, format)
        return response
    except Cancelled:
        if not speech.is_cancelled:
            raise
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    finally:
        if response is None:
            speech.close()


async def _whole_response(speech: SpeechRun, first: Waveform, format: str) -> Response:
    whole = await speech.whole(first)
    content = await speech.host.run(encoded, whole, format)
    speech.sent(whole.duration_s)
    speech.finish()
    headers = headers_at_start(speech.stream, first) | headers_at_end(speech.stream) | _file_name(format)
    return Response(content, media_type=MEDIA_TYPES[format], headers=headers)


def encoded(waveform: Waveform, format: str) -> bytes:
    """Returns the bytes of a whole audio file."""
    if format not in FORMATS:
        return encode_audio(waveform, format)
    writer = open_writer(format, waveform.rate_hz, waveform.n_channels, waveform.n_samples)
    return writer.push(waveform.samples) + writer.finish()


class StreamingSpeechResponse(Response):
    """A chunked response. A failure after its start aborts the body, so that it cannot pass for a complete file."""

    def __init__(self, speech: SpeechRun, first: Waveform, format: str) -> None:
        headers = headers_at_start(speech.stream, first, speech.first_audio_s) | _file_name(format)
        super().__init__(media_type=MEDIA_TYPES[format], headers=headers)
        del self.headers["content-length"]
        self._speech, self._chunks = speech, chain([first], speech.chunks)
        speech.is_streamed = True
        self._writer: Writer = open_writer(format, first.rate_hz, first.n_channels)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        speech, run = self._speech, self._speech.host.run
        try:
            async with on_disconnect(receive, speech.cancel):
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                unsent_s = 0.0  # audio that the encoder still buffers
                chunk, body = await run(self._next)
                while chunk is not None:
                    unsent_s += chunk.duration_s
                    if body:
                        await send({"type": "http.response.body", "body": body, "more_body": True})
                        speech.sent(unsent_s)
                        unsent_s = 0.0
                    chunk, body = await run(self._next)
                if unsent_s:
                    speech.sent(unsent_s)
                speech.finish()
                await send({"type": "http.response.body", "body": body, "more_body": False})
        except (OSError, asyncio.CancelledError):
            speech.cancel()  # the client is gone, which is no failure of the speech
            raise
        except PhonogramError as error:
            if not speech.is_cancelled:
                log.warning("A speech failed after its start: %s", error)
                # Not a PhonogramError, which would be turned into a response: the headers are already sent.
                raise StreamAborted(str(error)) from error
        finally:
            speech.close()

    def _next(self) -> tuple[Waveform | None, bytes]:
        """Waits for the next chunk; returns it with its encoded bytes, or None with the last bytes of the file."""
        chunk = next(self._chunks, None)
        return chunk, self._writer.finish() if chunk is None else self._writer.push(chunk.samples)

    @property
    def speech(self) -> SpeechRun:
        """The speech in progress; its metrics are final after the last chunk."""
        return self._speech


class StreamAborted(RuntimeError):
    """The response body could not be completed; the server closes the connection."""


def _file_name(format: str) -> dict[str, str]:
    return {"Content-Disposition": f'inline; filename="speech.{format}"'}
