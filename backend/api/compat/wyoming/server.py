"""A Wyoming server: speech for voice assistants over TCP, from the same engine as everything else."""

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
from backend.api.compat.wyoming.text import SpokenText, markup_of, text_of, voice_of
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

DOOR = "wyoming"
# The protocol has no seed, and an assistant should say the same thing the same way.
SEED = 0
MAX_CONNECTIONS = 64
IDLE_S = 600.0
# How long a client may go on to talk after it was told what is wrong.
LINGER_S = 2.0
WAITING_EVENTS = 32
LOOPBACK = "127.0.0.1"
# By family; the published models read more languages than these, which their authors name first.
LANGUAGES = {"phonogram": ["en"]}
OTHER_LANGUAGES = ["en", "zh", "ja", "ko", "de", "fr", "es", "ar"]
HOME = {"name": "Phonogram", "url": ""}


class WyomingServer:
    """Listens from `start` to `close`."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to listen. Raises `BadSettings` if the port cannot be had."""
        host, port = listening_host(self._settings), self._settings.wyoming_port
        try:
            self._server = await asyncio.start_server(self._take, host, port, limit=MAX_HEADER_BYTES)
        except OSError as error:
            raise BadSettings(
                f"WYOMING_PORT is {port}, which cannot be listened on ({error.strerror}). Choose another, or 0 for none."
            ) from error
        log.info("Wyoming listens on %s, port %d.", host, self.port)

    @property
    def port(self) -> int:
        assert self._server is not None, "the server was not started"
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and break off what is open."""
        if self._server is not None:
            self._server.close()
        while self._open:
            await stopped(*self._open)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            connection = WyomingConnection(self._app, self._settings, reader, writer)
            await connection.run(is_refused=len(self._open) > MAX_CONNECTIONS)
        except (ConnectionError, asyncio.CancelledError):
            # Gone, or the server stops: either way nobody is left to be told.
            pass
        finally:
            self._open.discard(task)
            writer.close()


class WyomingConnection:
    """One client: its events in order, its speech cancelled when it leaves."""

    def __init__(
        self, app: FastAPI, settings: Settings, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._app, self._settings, self._reader, self._writer = app, settings, reader, writer
        self._events: asyncio.Queue[Event | PhonogramError | None] = asyncio.Queue(WAITING_EVENTS)
        self._speech: SpeechRun | None = None
        self._told: SpokenText | None = None
        self._has_started = self._is_over = False

    async def run(self, is_refused: bool = False) -> None:
        """Answer until the client leaves or something is wrong, which is told before the connection ends."""
        reading = asyncio.create_task(self._read())
        try:
            if is_refused:
                raise Busy(f"{MAX_CONNECTIONS} clients are connected already. Try again soon.", retry_after_s=1.0)
            while (event := await self._events.get()) is not None:
                if isinstance(event, PhonogramError):
                    raise event
                await self._answer(event)
        except PhonogramError as error:
            if self._speech is None or not self._speech.is_left:
                await self._send("error", {"text": str(error), "code": str(status_of(error))})
                await self._linger(reading)
        finally:
            self._is_over = True
            reading.cancel()

    async def _read(self) -> None:
        max_data_bytes = MAX_HEADER_BYTES + 4 * self._settings.max_text_chars
        patience_s = self._settings.client_timeout_s
        event: Event | PhonogramError | None = None
        try:
            while not self._is_over:
                event = await read_event(
                    self._reader, max_data_bytes=max_data_bytes, idle_s=IDLE_S, patience_s=patience_s
                )  # fmt: skip
                if event is None:
                    break
                await self._events.put(event)
        except PhonogramError as error:
            event = error
        except ConnectionError:
            event = None
        if self._speech is not None:
            self._speech.leave()
        await self._events.put(event)

    async def _linger(self, reading: asyncio.Task[None]) -> None:
        """Hear the client out: closed with something unread, a connection is reset, and the error may be lost."""
        await stopped(reading)
        self._writer.write_eof()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._hear_out(), LINGER_S)

    async def _hear_out(self) -> None:
        while await self._reader.read(MAX_PAYLOAD_BYTES):
            pass

    async def _answer(self, event: Event) -> None:
        if event.type == "describe":
            await self._send("info", await self._info())
        elif event.type == "ping":
            await self._send("pong", event.data)
        elif event.type == "synthesize-start":
            self._told = SpokenText(event.data)
        elif event.type == "synthesize-chunk" and self._told is not None:
            await self._go_on(self._told, self._told.push(text_of(event), self._settings.max_text_chars))
        elif event.type == "synthesize-stop" and self._told is not None:
            await self._go_on(self._told, self._told.buffer.flush())
            await self._stop()
            await self._send("synthesize-stopped")
            self._told = None
        elif event.type == "synthesize" and self._told is None:
            # Clients that stream their text send all of it once more, for servers that cannot take a stream.
            await self._speak(text_of(event), voice_of(event.data), markup_of(event.data))
            await self._stop()
        # Events of other domains and later versions are for others.

    async def _go_on(self, told: SpokenText, sentences: list[str]) -> None:
        for sentence in sentences:
            try:
                await self._speak(sentence, told.voice, told.markup)
            except BadText as error:
                # A sentence in another script, say; the others are spoken.
                log.info("A sentence was passed over: %s", error)

    async def _speak(self, text: str, voice: str | None, markup: Markup) -> None:
        wanted = SpeechRequest(text=text, voice=voice, seed=SEED, markup=markup)
        connection = self._as_connection()
        REQUEST_ID.set(connection.state.request_id)
        self._speech = speech = SpeechRun(connection, wanted)
        speech.is_streamed = True
        try:
            piece: Waveform | None = await speech.open()
            while piece is not None:
                sound = {"rate": piece.rate_hz, "width": 2, "channels": piece.n_channels}
                if not self._has_started:
                    self._has_started = True
                    await self._send("audio-start", {**sound, "timestamp": 0})
                await self._send("audio-chunk", sound, to_int16(piece.samples).T.astype("<i2").tobytes())
                speech.sent(piece.duration_s)
                piece = await speech.next()
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
            raise ConnectionAbortedError("the client takes nothing") from None

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
        """What the parts behind the HTTP routes want to know of who asks."""
        peer = self._writer.get_extra_info("peername")
        return HTTPConnection(
            {
                "type": "http", "app": self._app, "path": f"/{DOOR}", "headers": [], "query_string": b"",
                "route": SimpleNamespace(path=DOOR), "client": tuple(peer[:2]) if peer else None,
                "state": {"request_id": secrets.token_hex(8), "arrived_s": time.perf_counter()},
            }
        )  # fmt: skip


async def stopped(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks, until all have ended."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        # Again and again: a wait with a time limit forgets a cancellation that comes as it ends.
        _, left = await asyncio.wait(left, timeout=0.1)


def listening_host(settings: Settings) -> str:
    """Where to listen: as HTTP does, but never farther than this machine where a key is wanted, which Wyoming lacks."""
    if settings.api_key and settings.host not in (LOOPBACK, "localhost", "::1"):
        log.warning("Wyoming knows no keys, so with API_KEY set it listens on this machine only.")
        return LOOPBACK
    return settings.host
