"""Wyoming server: speech for voice assistants over TCP, with the engine of the HTTP API."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from fastapi import FastAPI
from starlette.requests import HTTPConnection

from backend import __version__
from backend.api.compat.wyoming.events import MAX_HEADER_BYTES, MAX_PAYLOAD_BYTES, Event, read_event
from backend.api.compat.wyoming.text import StreamingText, markup_of, text_of, voice_of
from backend.api.engine_host import EngineHost
from backend.api.errors import status_of
from backend.api.speech.response import SpeechRun
from backend.audio.pcm import to_int16
from backend.audio.waveform import Waveform
from backend.errors import BadSettings, BadText, Busy, PhonogramError
from backend.monitor.log_format import REQUEST_ID
from backend.runtime.request import Markup, SpeechRequest
from backend.settings import Settings

log = logging.getLogger(__name__)

ROUTE = "wyoming"
# The protocol has no seed; a fixed one makes an assistant speak a text the same way each time.
SEED = 0
MAX_CONNECTIONS = 64
IDLE_S = 600.0
# After an error, the rest of the client's input is read for this long.
LINGER_S = 2.0
MAX_QUEUED_EVENTS = 32
LOOPBACK = "127.0.0.1"
# By model family; the published models support more languages than the ones their authors list first.
LANGUAGES = {"phonogram": ["en"]}
OTHER_LANGUAGES = ["en", "zh", "ja", "ko", "de", "fr", "es", "ar"]
HOME = {"name": "Phonogram", "url": ""}


class WyomingServer:
    """TCP server that listens from `start` to `close`."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Starts listening. Raises `BadSettings` if the port is not available."""
        host, port = listening_host(self._settings), self._settings.wyoming_port
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=MAX_HEADER_BYTES)
        except OSError as error:
            raise BadSettings(
                f"WYOMING_PORT is {port}, which is not available ({error.strerror}). Choose another, or 0 for none."
            ) from error
        log.info("Wyoming server listening on %s, port %d.", host, self.port)

    @property
    def port(self) -> int:
        assert self._server is not None, "the server was not started"
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stops listening and closes all connections."""
        if self._server is not None:
            self._server.close()
        while self._open:
            await cancel_all(*self._open)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            connection = WyomingConnection(self._app, self._settings, reader, writer)
            await connection.run(is_refused=len(self._open) > MAX_CONNECTIONS)
        except (ConnectionError, asyncio.CancelledError):
            # The client has disconnected or the server is shutting down.
            pass
        finally:
            self._open.discard(task)
            writer.close()


class WyomingConnection:
    """One client connection. Handles events in order and cancels the speech when the client disconnects."""

    def __init__(
        self, app: FastAPI, settings: Settings, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._app, self._settings, self._reader, self._writer = app, settings, reader, writer
        self._events: asyncio.Queue[Event | PhonogramError | None] = asyncio.Queue(MAX_QUEUED_EVENTS)
        self._speech: SpeechRun | None = None
        self._text: StreamingText | None = None
        self._has_started = self._is_over = False

    async def run(self, is_refused: bool = False) -> None:
        """Handles events until the client disconnects. Sends an error event before closing after a failure."""
        reading = asyncio.create_task(self._read())
        try:
            if is_refused:
                raise Busy(f"{MAX_CONNECTIONS} clients are connected already. Try again soon.", retry_after_s=1.0)
            while (event := await self._events.get()) is not None:
                if isinstance(event, PhonogramError):
                    raise event
                await self._handle(event)
        except PhonogramError as error:
            if self._speech is None or not self._speech.is_cancelled:
                await self._send("error", {"text": str(error), "code": str(status_of(error))})
                await self._linger(reading)
        finally:
            self._is_over = True
            reading.cancel()

    async def _read(self) -> None:
        max_data_bytes = MAX_HEADER_BYTES + 4 * self._settings.max_text_chars
        timeout_s = self._settings.client_timeout_s
        event: Event | PhonogramError | None = None
        try:
            while not self._is_over:
                event = await read_event(
                    self._reader, max_data_bytes=max_data_bytes, idle_s=IDLE_S, timeout_s=timeout_s
                )  # fmt: skip
                if event is None:
                    break
                await self._events.put(event)
        except PhonogramError as error:
            event = error
        except ConnectionError:
            event = None
        if self._speech is not None:
            self._speech.cancel()
        await self._events.put(event)

    async def _linger(self, reading: asyncio.Task[None]) -> None:
        """Reads the client's remaining input: closing with unread data resets the connection and may lose the error."""
        await cancel_all(reading)
        self._writer.write_eof()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._drain(), LINGER_S)

    async def _drain(self) -> None:
        while await self._reader.read(MAX_PAYLOAD_BYTES):
            pass

    async def _handle(self, event: Event) -> None:
        if event.type == "describe":
            await self._send("info", await self._info())
        elif event.type == "ping":
            await self._send("pong", event.data)
        elif event.type == "synthesize-start":
            self._text = StreamingText(event.data)
        elif event.type == "synthesize-chunk" and self._text is not None:
            await self._speak_all(self._text, self._text.push(text_of(event), self._settings.max_text_chars))
        elif event.type == "synthesize-stop" and self._text is not None:
            await self._speak_all(self._text, self._text.buffer.flush())
            await self._stop()
            await self._send("synthesize-stopped")
            self._text = None
        elif event.type == "synthesize" and self._text is None:
            # Streaming clients also send the whole text, for servers without streaming input; it is ignored then.
            await self._speak(text_of(event), voice_of(event.data), markup_of(event.data))
            await self._stop()
        # Events of other domains and later versions are ignored.

    async def _speak_all(self, text: StreamingText, sentences: list[str]) -> None:
        for sentence in sentences:
            try:
                await self._speak(sentence, text.voice, text.markup)
            except BadText as error:
                # For example a sentence in an unsupported script; the others are spoken.
                log.info("Skipped a sentence: %s", error)

    async def _speak(self, text: str, voice: str | None, markup: Markup) -> None:
        connection = self._as_connection()
        REQUEST_ID.set(connection.state.request_id)
        self._speech = speech = SpeechRun(
            connection, SpeechRequest(text=text, voice=voice, seed=SEED, markup=markup)
        )  # fmt: skip
        speech.is_streamed = True
        try:
            chunk: Waveform | None = await speech.open()
            while chunk is not None:
                sound = {"rate": chunk.rate_hz, "width": 2, "channels": chunk.n_channels}
                if not self._has_started:
                    self._has_started = True
                    await self._send("audio-start", {**sound, "timestamp": 0})
                await self._send("audio-chunk", sound, to_int16(chunk.samples).T.astype("<i2").tobytes())
                speech.sent(chunk.duration_s)
                chunk = await speech.next()
            speech.finish()
        finally:
            speech.close()
        self._speech = None

    async def _stop(self) -> None:
        if self._has_started:
            self._has_started = False
            await self._send("audio-stop", {"timestamp": 0})

    async def _send(self, kind: str, data: dict[str, Any] | None = None, payload: bytes = b"") -> None:
        self._writer.write(Event(kind, data or {}, payload).to_bytes())
        try:
            await asyncio.wait_for(self._writer.drain(), self._settings.client_timeout_s)
        except (asyncio.TimeoutError, TimeoutError):
            self._writer.transport.abort()
            raise ConnectionAbortedError("the client cancel_all reading") from None

    async def _info(self) -> dict[str, Any]:
        host: EngineHost = self._app.state.host
        voices, status = await host.run(host.engine.voices), await host.run(host.engine.status)
        languages = LANGUAGES.get(getattr(status, "family", None) or "", OTHER_LANGUAGES)
        facts = {"attribution": HOME, "installed": True, "version": __version__}
        program = {
            "name": "phonogram", "description": "Phonogram", **facts, "supports_synthesize_streaming": True,
            "voices": [
                {"name": voice.id, "description": voice.name, **facts, "languages": languages} for voice in voices
            ],
        }  # fmt: skip
        return {"tts": [program]}

    def _as_connection(self) -> HTTPConnection:
        """Returns a connection with the attributes that `SpeechRun` reads."""
        peer = self._writer.get_extra_info("peername")
        return HTTPConnection(
            {
                "type": "http", "app": self._app, "path": f"/{ROUTE}", "headers": [], "query_string": b"",
                "route": SimpleNamespace(path=ROUTE), "client": tuple(peer[:2]) if peer else None,
                "state": {"request_id": secrets.token_hex(8), "arrived_s": time.perf_counter()},
            }
        )  # fmt: skip


async def cancel_all(*tasks: asyncio.Task[None]) -> None:
    """Cancels tasks until all have ended."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        # Repeated, because asyncio.wait_for can lose a cancellation that arrives as its timeout expires.
        _, pending = await asyncio.wait(pending, timeout=0.1)


def listening_host(settings: Settings) -> str:
    """Returns the address to listen on: HOST, or loopback when API_KEY is set, because Wyoming has no authentication."""
    if settings.api_key and settings.host not in (LOOPBACK, "localhost", "::1"):
        log.warning("Wyoming has no authentication; with API_KEY set it listens on the loopback address only.")
        return LOOPBACK
    return settings.host
