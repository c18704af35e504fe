"""Speech as an HTTP answer, whole or piece by piece, given up when the client leaves."""

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

from backend.api.engine_host import MAX_SPEECHES, EngineHost, SpeechStreamProtocol
from backend.api.metrics import Outcome, ServerMetrics
from backend.api.request_history import RecentSpeech, RecentSpeeches
from backend.api.speech.headers import headers_at_end, headers_at_start
from backend.api.speech.playback_clock import PlaybackClock
from backend.audio.files import encode_audio
from backend.audio.waveform import Waveform
from backend.audio.writers import FORMATS, Writer, open_writer
from backend.errors import Busy, Cancelled, EngineFailure, PhonogramError
from backend.runtime.request import SpeechRequest

log = logging.getLogger(__name__)

# What the log shows for a client that left before its answer; nobody receives it.
CLIENT_GONE = 499

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
async def on_disconnect(receive: Receive, act: Callable[[], None]) -> AsyncIterator[None]:
    """Call `act` if the client disconnects inside the block."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        act()

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()


class SpeechRun:
    """One speech from its request to its last byte. Counts itself, and cancels itself if it is left unfinished."""

    def __init__(self, connection: HTTPConnection, wanted: SpeechRequest, arrived_s: float | None = None) -> None:
        """`arrived_s`: when it was asked for, on the performance counter, if that was after the connection."""
        state = connection.app.state
        self.host: EngineHost = state.host
        self._measures: ServerMetrics = state.measures
        self._recent: RecentSpeeches = state.recent
        self._connection, self._wanted = connection, wanted
        self._arrived_at = datetime.now(timezone.utc)
        self._stream: SpeechStreamProtocol | None = None
        self.pieces: Iterator[Waveform] = iter(())
        self.playback = PlaybackClock(connection.state.arrived_s if arrived_s is None else arrived_s)
        self.is_left = self.is_streamed = False
        self._outcome: Outcome = "refused"
        self.first_audio_s = 0.0

    @property
    def stream(self) -> SpeechStreamProtocol:
        assert self._stream is not None, "the speech was not opened"
        return self._stream

    def leave(self) -> None:
        """The client has gone: stop making sound nobody hears."""
        self.is_left = True
        if self._stream is not None:
            self._stream.cancel()

    async def open(self) -> Waveform:
        """Start to speak; returns the first piece. Raises what the engine refuses with."""
        self.host.n_speeches += 1
        self._measures.open_speeches.inc()
        if self.host.n_speeches > MAX_SPEECHES:
            raise Busy(f"{MAX_SPEECHES} speeches are being made or waiting already. Try again soon.", retry_after_s=1.0)
        self.host.require_open()
        engine, client = self.host.engine, client_of(self._connection)

        def start() -> Waveform:
            self._stream = engine.begin(self._wanted, client)
            if self.is_left:  # while the request was read
                self._stream.cancel()
            self.pieces = iter(self._stream)
            first = next(self.pieces, None)
            if first is None:
                raise EngineFailure("The engine made no sound of this text. Change the text, or try another voice.")
            return first

        first = await self.host.run(start)
        self.first_audio_s = time.perf_counter() - self.playback.arrived_s
        self._outcome = "failed"
        return first

    async def next(self) -> Waveform | None:
        """The next piece; None after the last."""
        return await self.host.run(next, self.pieces, None)

    async def sentences(self) -> Sequence[Any]:
        """When what is said; complete after the last piece."""
        return await self.host.run(lambda: self.stream.sentences)

    async def run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Run a blocking call in a thread of the engine's own share."""
        return await self.host.run(call, *arguments)

    async def whole(self, first: Waveform) -> Waveform:
        """All of it, once it is made."""

        def joined() -> Waveform:
            return Waveform(
                np.concatenate([first.samples, *(one.samples for one in self.pieces)], axis=1), first.rate_hz
            )

        return await self.host.run(joined)

    def sent(self, duration_s: float) -> None:
        """Sound of this length went to the client just now."""
        self.playback.sent(duration_s, time.perf_counter())

    def finish(self) -> None:
        """The last piece was sent."""
        self._outcome = "done"
        self._measures.observe_speech(self.stream.metrics, self.playback, self.is_streamed)

    def close(self) -> None:
        """Count how it ended, and stop the engine if it is still at it. Call it once."""
        if self._outcome != "done" and self._stream is not None:
            self._stream.cancel()
        outcome: Outcome = "cancelled" if self.is_left and self._outcome != "done" else self._outcome
        self.host.n_speeches -= 1
        self._measures.open_speeches.dec()
        self._measures.speeches.labels(outcome).inc()
        self._recent.add(self._row(outcome))

    def _row(self, outcome: Outcome) -> RecentSpeech:
        connection, playback = self._connection, self.playback
        metrics = None if self._stream is None else self._stream.metrics
        audio_s = metrics.audio_s if metrics else 0.0
        return RecentSpeech(
            id=connection.state.request_id, at=self._arrived_at.isoformat(timespec="milliseconds"),
            door=getattr(connection.scope.get("route"), "path", connection.url.path), voice=self._wanted.voice,
            n_chars=len(self._wanted.text), status=outcome, finish=metrics.finish_reason if metrics else None,
            audio_s=round(audio_s, 3), first_audio_s=round(playback.first_audio_s, 4),
            total_s=round(playback.total_s, 4), rtf=round(playback.total_s / audio_s, 4) if audio_s else 0.0,
            queue_s=round(metrics.queue_s, 4) if metrics else 0.0, underrun_s=round(playback.underrun_s, 4),
        )  # fmt: skip


def client_of(connection: HTTPConnection) -> str:
    """Whose request this is, for taking turns: whom the key names, else the address it comes from."""
    return getattr(connection.state, "key_name", None) or (connection.client.host if connection.client else "")


async def speak(request: Request, wanted: SpeechRequest, format: str, is_streaming: bool) -> Response:
    """Answer with the speech. The first sound exists before this returns, so refusals are proper statuses."""
    speech = SpeechRun(request, wanted)
    is_handed_on = False
    try:
        async with on_disconnect(request.receive, speech.leave):
            first = await speech.open()
            if not is_streaming:
                return await _whole(speech, first, format)
        answer = StreamingSpeechResponse(speech, first, format)
        is_handed_on = True
        return answer
    except Cancelled:
        if not speech.is_left:
            raise
        return Response(status_code=CLIENT_GONE)
    finally:
        if not is_handed_on:
            speech.close()


async def _whole(speech: SpeechRun, first: Waveform, format: str) -> Response:
    whole = await speech.whole(first)
    content = await speech.host.run(encoded, whole, format)
    speech.sent(whole.duration_s)
    speech.finish()
    headers = headers_at_start(speech.stream, first) | headers_at_end(speech.stream) | _file_name(format)
    return Response(content, media_type=MEDIA_TYPES[format], headers=headers)


def encoded(waveform: Waveform, format: str) -> bytes:
    """The bytes of a whole file."""
    if format not in FORMATS:
        return encode_audio(waveform, format)
    writer = open_writer(format, waveform.rate_hz, waveform.n_channels, waveform.n_samples)
    return writer.push(waveform.samples) + writer.finish()


class StreamingSpeechResponse(Response):
    """A chunked answer. A failure after its start breaks the body off, so that it cannot pass for a whole one."""

    def __init__(self, speech: SpeechRun, first: Waveform, format: str) -> None:
        headers = headers_at_start(speech.stream, first, speech.first_audio_s) | _file_name(format)
        super().__init__(media_type=MEDIA_TYPES[format], headers=headers)
        del self.headers["content-length"]
        self._speech, self._pieces = speech, chain([first], speech.pieces)
        speech.is_streamed = True
        self._writer: Writer = open_writer(format, first.rate_hz, first.n_channels)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        speech, run = self._speech, self._speech.host.run
        try:
            async with on_disconnect(receive, speech.leave):
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                unsent_s = 0.0  # what an encoder still holds back
                piece, body = await run(self._next)
                while piece is not None:
                    unsent_s += piece.duration_s
                    if body:
                        await send({"type": "http.response.body", "body": body, "more_body": True})
                        speech.sent(unsent_s)
                        unsent_s = 0.0
                    piece, body = await run(self._next)
                if unsent_s:
                    speech.sent(unsent_s)
                speech.finish()
                await send({"type": "http.response.body", "body": body, "more_body": False})
        except PhonogramError as error:
            if not speech.is_left:
                log.warning("A speech broke off after its start: %s", error)
                # Not one of the errors that have an answer: the headers are gone already.
                raise StreamAborted(str(error)) from error
        finally:
            speech.close()

    def _next(self) -> tuple[Waveform | None, bytes]:
        """Wait for the next piece; with it the bytes that are ready then. None and the rest after the last."""
        piece = next(self._pieces, None)
        return piece, self._writer.finish() if piece is None else self._writer.push(piece.samples)

    @property
    def speech(self) -> SpeechRun:
        """What is being said; its metrics are final after the last piece."""
        return self._speech


class StreamAborted(RuntimeError):
    """The body of an answer could not be finished; the server closes the connection."""


def _file_name(format: str) -> dict[str, str]:
    return {"Content-Disposition": f'inline; filename="speech.{format}"'}
