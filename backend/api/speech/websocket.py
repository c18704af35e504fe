"""A conversation over one WebSocket: text comes in piece by piece, each sentence is spoken as soon as it is complete."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from backend.api.request_parsing import describe
from backend.api.speech.playback_clock import PlaybackClock
from backend.api.speech.protocol import Speak, SpeechHandle
from backend.api.speech.timestamps import sentence_times
from backend.api.speech.websocket_messages import MESSAGES, ControlMessage, Start, TextMessage
from backend.audio.waveform import Waveform
from backend.audio.writers import FORMATS, Writer, open_writer
from backend.errors import BadRequest, BadText, Cancelled, LimitExceeded, PhonogramError, ReplicaLost, RetryLater
from backend.runtime.request import segment_seed
from backend.settings import Settings
from backend.text.segmentation.incremental import SentenceBuffer

log = logging.getLogger(__name__)

MAX_MESSAGE_CHARS = 65_536
# Codes of closing: all was said; nothing came for too long; a message that is none; who spoke was lost.
CLOSED_WELL, CLOSED_IDLE, CLOSED_BAD, CLOSED_LOST = 1000, 1001, 1003, 1011


@dataclass(slots=True, eq=False)
class QueuedSentence:
    """One sentence on its way: waiting, or opened and so in the engine's queue or being spoken."""

    index: int
    text: str
    speech: SpeechHandle | None = None
    opening: asyncio.Task[Waveform] | None = None

    def leave(self) -> None:
        if self.speech is not None:
            self.speech.leave()


@dataclass(frozen=True, slots=True, eq=False)
class SpeechMarker:
    """A place in the line of sentences whose passing is told."""

    kind: Literal["flushed", "done"]


@dataclass(slots=True)
class SentenceQueue:
    """What is to be said, in order."""

    items: deque[QueuedSentence | SpeechMarker] = field(default_factory=deque)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def n_chars(self) -> int:
        return sum(len(item.text) for item in self.items if isinstance(item, QueuedSentence))

    def add(self, item: QueuedSentence | SpeechMarker) -> None:
        self.items.append(item)
        self.changed.set()

    async def next(self) -> QueuedSentence | SpeechMarker:
        while not self.items:
            self.changed.clear()
            await self.changed.wait()
        return self.items.popleft()


class SpeechSocket:
    """One client's conversation. One task reads what it says, another speaks; both run on the event loop."""

    def __init__(self, socket: WebSocket, speak: Speak):
        self._socket, self._ask = socket, speak
        self._settings: Settings = socket.app.state.settings
        self._start = Start.model_validate({})
        self._has_started = False
        self._buffer, self._line = SentenceBuffer(), SentenceQueue()
        self._speaking: QueuedSentence | None = None
        self._n_sentences = 0
        # Counts the cancellations: what belongs to an earlier one is not sent any more.
        self._epoch = 0
        self._cancelled = asyncio.Event()
        self._sending = asyncio.Lock()
        self._writer: Writer | None = None
        self._playback = PlaybackClock(time.perf_counter())
        self._sent_s = 0.0  # sound since the start or the last cancellation

    async def run(self) -> None:
        """Accept and talk until either side closes."""
        await self._socket.accept()
        speaker = asyncio.create_task(self._speak())
        try:
            code = await self._listen(speaker)
            if code is not None:
                await self._socket.close(code)
        except WebSocketDisconnect:
            pass
        finally:
            self._drop_all()
            speaker.cancel()
            await asyncio.wait({speaker})
            if not speaker.cancelled() and not isinstance(speaker.exception(), WebSocketDisconnect | None):
                log.error("A conversation broke off.", exc_info=speaker.exception())

    # Listening.

    async def _listen(self, speaker: asyncio.Task[int]) -> int | None:
        """Take messages until the end; returns the code to close with, None if the client closed."""
        idle_s = self._settings.socket_idle_s
        receiving = asyncio.create_task(self._socket.receive())
        try:
            while True:
                await asyncio.wait({receiving, speaker}, timeout=idle_s, return_when=asyncio.FIRST_COMPLETED)
                if speaker.done():
                    return speaker.result()
                if not receiving.done():
                    if self.is_busy:
                        continue
                    await self._tell_error(
                        BadRequest(f"Nothing came for {idle_s:g} s (SOCKET_IDLE_S). Connect again when there is text.")
                    )
                    return CLOSED_IDLE
                message = receiving.result()
                if message["type"] == "websocket.disconnect":
                    return None
                receiving = asyncio.create_task(self._socket.receive())
                try:
                    await self._take(_parsed(message.get("text")))
                except LimitExceeded as error:
                    await self._tell_error(error)
                except BadRequest as error:
                    await self._tell_error(error)
                    return CLOSED_BAD
        finally:
            receiving.cancel()

    @property
    def is_busy(self) -> bool:
        """Whether something is being said or waits to be."""
        return self._speaking is not None or bool(self._line.items)

    async def _take(self, message: Start | TextMessage | ControlMessage) -> None:
        if isinstance(message, Start):
            self._begin(message)
            return
        self._has_started = True
        if isinstance(message, TextMessage):
            n_waiting = len(self._buffer) + self._line.n_chars + len(message.text)
            if n_waiting > self._settings.max_text_chars:
                raise LimitExceeded(
                    f"{n_waiting} characters would wait to be spoken; the limit is {self._settings.max_text_chars} "
                    "(MAX_TEXT_CHARS). This text was not taken: send it again when some was spoken."
                )
            self._add(self._buffer.push(message.text))
        elif message.type == "cancel":
            self._drop_all()
            await self._tell({"type": "cancelled"})
        else:
            self._add(self._buffer.flush())
            self._line.add(SpeechMarker("done" if message.type == "end" else "flushed"))

    def _begin(self, start: Start) -> None:
        if self._has_started:
            raise BadRequest("start came after the start. Say how to speak once, before any text.")
        if start.format not in FORMATS:
            raise BadRequest(
                f"Cannot stream '{start.format}'; the formats that stream are {', '.join(FORMATS)}. Choose one."
            )
        self._start, self._has_started = start, True

    def _add(self, texts: list[str]) -> None:
        for text in texts:
            self._line.add(QueuedSentence(self._n_sentences, text))
            self._n_sentences += 1
        self._open_ahead()

    def _drop_all(self) -> None:
        """Forget everything that was not sent yet."""
        self._epoch += 1
        self._cancelled.set()
        self._cancelled = asyncio.Event()
        self._buffer.clear()
        for item in [self._speaking, *self._line.items]:
            if isinstance(item, QueuedSentence):
                item.leave()
                # One that waits in the line is in nobody else's hands.
                if item.opening is not None and item is not self._speaking:
                    item.opening.add_done_callback(partial(_closed, item))
        self._line.items.clear()
        self._writer = None
        self._playback, self._sent_s = PlaybackClock(time.perf_counter()), 0.0

    # Speaking.

    async def _speak(self) -> int:
        """Say all until the end; returns the code to close with."""
        while True:
            item = await self._line.next()
            epoch = self._epoch
            if isinstance(item, SpeechMarker):
                await self._pass(item, epoch)
                if item.kind == "done" and epoch == self._epoch:
                    return CLOSED_WELL
                continue
            self._speaking = item
            try:
                await self._say(item, epoch)
            except Cancelled:
                # By the client, or with it.
                continue
            except BadText as error:
                # Nothing in this sentence can be read, as in another script; that says nothing of the others.
                if epoch == self._epoch:
                    await self._tell_error(error, sentence=item.index)
            except PhonogramError as error:
                if epoch == self._epoch:
                    is_ending = any(
                        isinstance(later, SpeechMarker) and later.kind == "done" for later in self._line.items
                    )
                    self._speaking = None
                    self._drop_all()
                    await self._tell_error(error, sentence=item.index)
                    if is_ending:
                        self._line.add(SpeechMarker("done"))
                    if isinstance(error, ReplicaLost):
                        return CLOSED_LOST
            finally:
                self._speaking = None

    async def _pass(self, milestone: SpeechMarker, epoch: int) -> None:
        if milestone.kind == "done" and self._writer is not None:
            await self._send_sound(self._writer.finish(), None, epoch)
        await self._tell({"type": milestone.kind, "audio_s": round(self._sent_s, 4)}, epoch)

    async def _say(self, sentence: QueuedSentence, epoch: int) -> None:
        self._open(sentence)
        speech, opening = sentence.speech, sentence.opening
        assert speech is not None and opening is not None
        try:
            turn_s = time.perf_counter()
            piece: Waveform | None = await opening
            # One that was opened ahead is late only if the listener has to wait for it.
            speech.playback.arrived_s = max(speech.playback.arrived_s, turn_s)
            begins_s = self._sent_s
            await self._tell(
                {"type": "sentence", "index": sentence.index, "text": sentence.text, "start_s": round(begins_s, 4)},
                epoch,
            )
            self._open_ahead()
            while piece is not None:
                await self._wait_for_listener(speech, epoch)
                await self._send_piece(piece, sentence, epoch)
                piece = await speech.next()
            speech.finish()
            if self._start.timings:
                told = [timed.model_dump() for timed in sentence_times(await speech.sentences(), begins_s)]
                await self._tell({"type": "timings", "index": sentence.index, "sentences": told}, epoch)
        finally:
            speech.close()

    def _open(self, sentence: QueuedSentence) -> None:
        """Put a sentence into the engine's queue, once."""
        if sentence.opening is not None:
            return
        start = self._start
        seed = None if start.seed is None else segment_seed(start.seed, sentence.index)
        sentence.speech = self._ask(start.request_of(sentence.text, seed), start.timings)
        sentence.opening = asyncio.create_task(sentence.speech.open())

    def _open_ahead(self) -> None:
        """While one sentence is heard, the next one is made already; no more than that, for the sake of others."""
        speaking = self._speaking
        if speaking is None or speaking.opening is None or not speaking.opening.done():
            return
        upcoming = next((item for item in self._line.items if isinstance(item, QueuedSentence)), None)
        if upcoming is not None:
            self._open(upcoming)

    async def _wait_for_listener(self, speech: SpeechHandle, epoch: int) -> None:
        """Until less than `pace` seconds of sound lie ahead of the listener, or all is cancelled."""
        now_s = time.perf_counter()
        ahead_s = self._playback.ahead_s(now_s) - self._start.pace
        if self._start.pace and ahead_s > 0:
            cancelled = asyncio.create_task(self._cancelled.wait())
            await asyncio.wait({cancelled}, timeout=ahead_s)
            cancelled.cancel()
            # Waiting on purpose is no slowness of ours.
            speech.playback.arrived_s += time.perf_counter() - now_s
        self._require(epoch)

    async def _send_piece(self, piece: Waveform, sentence: QueuedSentence, epoch: int) -> None:
        if self._writer is None:
            self._writer = open_writer(self._start.format, piece.rate_hz, piece.n_channels)
            about = {"type": "audio_start", "format": self._start.format, "sample_rate": piece.rate_hz}
            await self._tell({**about, "channels": piece.n_channels}, epoch)
            # Cancelled meanwhile, there is no writer any more.
            self._require(epoch)
        assert sentence.speech is not None
        content = await sentence.speech.run(self._writer.push, piece.samples)
        await self._send_sound(content, sentence.index, epoch)
        # What was sent before a cancellation is no part of the sound after it.
        self._require(epoch)
        sentence.speech.sent(piece.duration_s)
        self._playback.sent(piece.duration_s, time.perf_counter())
        self._sent_s += piece.duration_s

    async def _send_sound(self, content: bytes, index: int | None, epoch: int) -> None:
        if not content:
            return
        async with self._sending:
            self._require(epoch)
            if self._start.audio == "binary":
                await self._socket.send_bytes(content)
            else:
                body = {"type": "audio", "index": index, "audio": base64.b64encode(content).decode()}
                await self._socket.send_text(json.dumps(body))

    async def _tell(self, body: dict[str, Any], epoch: int | None = None) -> None:
        async with self._sending:
            if epoch is None or epoch == self._epoch:
                await self._socket.send_text(json.dumps(body, ensure_ascii=False))

    async def _tell_error(self, error: PhonogramError, **about: Any) -> None:
        body = {"type": "error", "error": error.kind, "message": str(error), **about}
        if isinstance(error, RetryLater):
            body["retry_after_ms"] = round(error.retry_after_s * 1000)
        await self._tell(body)

    def _require(self, epoch: int) -> None:
        if epoch != self._epoch:
            raise Cancelled("What was being said was cancelled.")


def _parsed(text: str | None) -> Start | TextMessage | ControlMessage:
    """A message as it came; raises `BadRequest` saying what is wrong with it."""
    if text is None or len(text) > MAX_MESSAGE_CHARS:
        raise BadRequest(
            f"Messages are JSON text of at most {MAX_MESSAGE_CHARS} characters. Send longer text in parts."
        )
    try:
        sent = json.loads(text)
    except (ValueError, RecursionError):
        raise BadRequest('A message is not JSON; expected {"type": ...}.') from None
    kind = MESSAGES.get(sent.get("type")) if isinstance(sent, dict) and isinstance(sent.get("type"), str) else None
    if kind is None:
        raise BadRequest(f"A message has no type this socket knows; expected one of {', '.join(MESSAGES)}.")
    try:
        return kind.model_validate(sent)
    except ValidationError as error:
        raise BadRequest(describe(kind, error.errors(include_url=False))) from None


def _closed(sentence: QueuedSentence, opening: asyncio.Task[Waveform]) -> None:
    """Count a sentence that was opened ahead and then not wanted."""
    if not opening.cancelled() and opening.exception() is not None:
        log.debug("Sentence %d was given up: %s", sentence.index, opening.exception())
    assert sentence.speech is not None
    sentence.speech.close()
