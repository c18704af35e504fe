"""Speech WebSocket session: text arrives in parts, and each sentence is synthesized as soon as it is complete."""

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

from backend.api.dependencies import settings_of
from backend.api.metrics import PlaybackClock
from backend.api.request_parsing import describe
from backend.api.speech.protocol import CreateSpeech, SpeechHandle
from backend.api.speech.timestamps import sentence_times
from backend.api.speech.websocket_messages import MESSAGES, ControlMessage, Start, TextMessage
from backend.audio.waveform import Waveform
from backend.audio.writers import FORMATS, Writer, open_writer
from backend.errors import BadRequest, BadText, Cancelled, LimitExceeded, PhonogramError, ReplicaLost, RetryLater
from backend.runtime.request import segment_seed
from backend.text.segmentation.incremental import SentenceBuffer

log = logging.getLogger(__name__)

MAX_MESSAGE_CHARS = 65_536
# Close codes: normal, idle timeout, invalid message, replica lost.
CLOSE_NORMAL, CLOSE_IDLE, CLOSE_INVALID, CLOSE_REPLICA_LOST = 1000, 1001, 1003, 1011


@dataclass(slots=True, eq=False)
class QueuedSentence:
    """One sentence: waiting, or opened and thus in the engine's queue or in synthesis."""

    index: int
    text: str
    speech: SpeechHandle | None = None
    opening: asyncio.Task[Waveform] | None = None

    def cancel(self) -> None:
        if self.speech is not None:
            self.speech.cancel()


@dataclass(frozen=True, slots=True, eq=False)
class SpeechMarker:
    """A position in the sentence queue that is reported to the client when reached."""

    kind: Literal["flushed", "done"]


@dataclass(slots=True)
class SentenceQueue:
    """Sentences and markers in order."""

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
    """One client session. One task receives messages, another sends speech; both run on the event loop."""

    def __init__(self, socket: WebSocket, create_speech: CreateSpeech):
        self._socket, self._create_speech = socket, create_speech
        self._settings = settings_of(socket)
        self._start = Start.model_validate({})
        self._has_started = False
        self._buffer, self._queue = SentenceBuffer(), SentenceQueue()
        self._current: QueuedSentence | None = None
        self._n_sentences = 0
        # Number of cancellations; output of an earlier epoch is dropped.
        self._epoch = 0
        self._cancelled = asyncio.Event()
        self._sending = asyncio.Lock()
        self._writer: Writer | None = None
        self._playback = PlaybackClock(time.perf_counter())
        self._sent_s = 0.0  # audio sent since the start or the last cancellation

    async def run(self) -> None:
        """Accepts the connection and serves it until either side closes."""
        await self._socket.accept()
        sender = asyncio.create_task(self._send_all())
        try:
            code = await self._receive_all(sender)
            if code is not None:
                await self._socket.close(code)
        except WebSocketDisconnect:
            pass
        finally:
            self._cancel_all()
            sender.cancel()
            await asyncio.wait({sender})
            if not sender.cancelled() and not isinstance(sender.exception(), WebSocketDisconnect | None):
                log.error("A speech WebSocket failed.", exc_info=sender.exception())

    # Receiving.

    async def _receive_all(self, sender: asyncio.Task[int]) -> int | None:
        """Handles messages until the session ends; returns the close code, None if the client closed."""
        idle_s = self._settings.socket_idle_s
        receiving = asyncio.create_task(self._socket.receive())
        try:
            while True:
                await asyncio.wait({receiving, sender}, timeout=idle_s, return_when=asyncio.FIRST_COMPLETED)
                if sender.done():
                    return sender.result()
                if not receiving.done():
                    if self.is_busy:
                        continue
                    await self._send_error(
                        BadRequest(f"Idle for {idle_s:g} s (SOCKET_IDLE_S). Connect again when there is text.")
                    )
                    return CLOSE_IDLE
                message = receiving.result()
                if message["type"] == "websocket.disconnect":
                    return None
                receiving = asyncio.create_task(self._socket.receive())
                try:
                    await self._handle(_parse(message.get("text")))
                except LimitExceeded as error:
                    await self._send_error(error)
                except BadRequest as error:
                    await self._send_error(error)
                    return CLOSE_INVALID
        finally:
            receiving.cancel()

    @property
    def is_busy(self) -> bool:
        """Whether a sentence is in synthesis or queued."""
        return self._current is not None or bool(self._queue.items)

    async def _handle(self, message: Start | TextMessage | ControlMessage) -> None:
        if isinstance(message, Start):
            self._configure(message)
            return
        self._has_started = True
        if isinstance(message, TextMessage):
            n_pending = len(self._buffer) + self._queue.n_chars + len(message.text)
            if n_pending > self._settings.max_text_chars:
                raise LimitExceeded(
                    f"{n_pending} characters would be pending; the limit is {self._settings.max_text_chars} "
                    "(MAX_TEXT_CHARS). This text was dropped: send it again when some sentences are done."
                )
            self._add(self._buffer.push(message.text))
        elif message.type == "cancel":
            self._cancel_all()
            await self._send_json({"type": "cancelled"})
        else:
            self._add(self._buffer.flush())
            self._queue.add(SpeechMarker("done" if message.type == "end" else "flushed"))

    def _configure(self, start: Start) -> None:
        if self._has_started:
            raise BadRequest("The session has already started. Send start once, before any text.")
        if start.format not in FORMATS:
            raise BadRequest(
                f"Cannot stream '{start.format}'; the streaming formats are {', '.join(FORMATS)}. Choose one."
            )
        self._start, self._has_started = start, True

    def _add(self, texts: list[str]) -> None:
        for text in texts:
            self._queue.add(QueuedSentence(self._n_sentences, text))
            self._n_sentences += 1
        self._open_ahead()

    def _cancel_all(self) -> None:
        """Drops everything that was not sent yet."""
        self._epoch += 1
        self._cancelled.set()
        self._cancelled = asyncio.Event()
        self._buffer.clear()
        for item in [self._current, *self._queue.items]:
            if isinstance(item, QueuedSentence):
                item.cancel()
                # The sender closes the current sentence; the queued ones are closed here.
                if item.opening is not None and item is not self._current:
                    item.opening.add_done_callback(partial(_close, item))
        self._queue.items.clear()
        self._writer = None
        self._playback, self._sent_s = PlaybackClock(time.perf_counter()), 0.0

    # Sending.

    async def _send_all(self) -> int:
        """Sends the speech of all sentences; returns the close code."""
        while True:
            item = await self._queue.next()
            epoch = self._epoch
            if isinstance(item, SpeechMarker):
                await self._send_marker(item, epoch)
                if item.kind == "done" and epoch == self._epoch:
                    return CLOSE_NORMAL
                continue
            self._current = item
            try:
                await self._send_sentence(item, epoch)
            except Cancelled:
                # By a cancel message, or by disconnecting.
                continue
            except BadText as error:
                # This sentence has nothing to speak, for example in an unsupported script; others may.
                if epoch == self._epoch:
                    await self._send_error(error, sentence=item.index)
            except PhonogramError as error:
                if epoch == self._epoch:
                    is_ending = any(
                        isinstance(later, SpeechMarker) and later.kind == "done" for later in self._queue.items
                    )
                    self._current = None
                    self._cancel_all()
                    await self._send_error(error, sentence=item.index)
                    if is_ending:
                        self._queue.add(SpeechMarker("done"))
                    if isinstance(error, ReplicaLost):
                        return CLOSE_REPLICA_LOST
            finally:
                self._current = None

    async def _send_marker(self, marker: SpeechMarker, epoch: int) -> None:
        if marker.kind == "done" and self._writer is not None:
            await self._send_audio(self._writer.finish(), None, epoch)
        await self._send_json({"type": marker.kind, "audio_s": round(self._sent_s, 4)}, epoch)

    async def _send_sentence(self, sentence: QueuedSentence, epoch: int) -> None:
        self._open(sentence)
        speech, opening = sentence.speech, sentence.opening
        assert speech is not None and opening is not None
        try:
            turn_s = time.perf_counter()
            chunk: Waveform | None = await opening
            # The latency of a sentence opened ahead counts from its turn.
            speech.playback.arrived_s = max(speech.playback.arrived_s, turn_s)
            start_s = self._sent_s
            await self._send_json(
                {"type": "sentence", "index": sentence.index, "text": sentence.text, "start_s": round(start_s, 4)},
                epoch,
            )
            self._open_ahead()
            while chunk is not None:
                await self._wait_for_playback(speech, epoch)
                await self._send_chunk(chunk, sentence, epoch)
                chunk = await speech.next()
            speech.finish()
            if self._start.timings:
                times = [timed.model_dump() for timed in sentence_times(await speech.sentences(), start_s)]
                await self._send_json({"type": "timings", "index": sentence.index, "sentences": times}, epoch)
        finally:
            speech.close()

    def _open(self, sentence: QueuedSentence) -> None:
        """Puts a sentence into the engine's queue, once."""
        if sentence.opening is not None:
            return
        start = self._start
        seed = None if start.seed is None else segment_seed(start.seed, sentence.index)
        sentence.speech = self._create_speech(start.request_of(sentence.text, seed), start.timings)
        sentence.opening = asyncio.create_task(sentence.speech.open())

    def _open_ahead(self) -> None:
        """Opens the next sentence while the current one plays; only one, so that other clients get their share."""
        current = self._current
        if current is None or current.opening is None or not current.opening.done():
            return
        upcoming = next((item for item in self._queue.items if isinstance(item, QueuedSentence)), None)
        if upcoming is not None:
            self._open(upcoming)

    async def _wait_for_playback(self, speech: SpeechHandle, epoch: int) -> None:
        """Waits until the client has less than `pace` seconds of unplayed audio, or until a cancellation."""
        now_s = time.perf_counter()
        ahead_s = self._playback.ahead_s(now_s) - self._start.pace
        if self._start.pace and ahead_s > 0:
            cancelled = asyncio.create_task(self._cancelled.wait())
            await asyncio.wait({cancelled}, timeout=ahead_s)
            cancelled.cancel()
            # Intentional waiting does not count as latency.
            speech.playback.arrived_s += time.perf_counter() - now_s
        self._check_epoch(epoch)

    async def _send_chunk(self, chunk: Waveform, sentence: QueuedSentence, epoch: int) -> None:
        if self._writer is None:
            self._writer = open_writer(self._start.format, chunk.rate_hz, chunk.n_channels)
            start = {"type": "audio_start", "format": self._start.format, "sample_rate": chunk.rate_hz}
            await self._send_json({**start, "channels": chunk.n_channels}, epoch)
            # A cancellation in the meantime has dropped the writer.
            self._check_epoch(epoch)
        assert sentence.speech is not None
        content = await sentence.speech.run(self._writer.push, chunk.samples)
        await self._send_audio(content, sentence.index, epoch)
        # Audio sent before a cancellation does not count towards the audio after it.
        self._check_epoch(epoch)
        sentence.speech.sent(chunk.duration_s)
        self._playback.sent(chunk.duration_s, time.perf_counter())
        self._sent_s += chunk.duration_s

    async def _send_audio(self, content: bytes, index: int | None, epoch: int) -> None:
        if not content:
            return
        async with self._sending:
            self._check_epoch(epoch)
            if self._start.audio == "binary":
                await self._socket.send_bytes(content)
            else:
                body = {"type": "audio", "index": index, "audio": base64.b64encode(content).decode()}
                await self._socket.send_text(json.dumps(body))

    async def _send_json(self, body: dict[str, Any], epoch: int | None = None) -> None:
        async with self._sending:
            if epoch is None or epoch == self._epoch:
                await self._socket.send_text(json.dumps(body, ensure_ascii=False))

    async def _send_error(self, error: PhonogramError, **fields: Any) -> None:
        body = {"type": "error", "error": error.kind, "message": str(error), **fields}
        if isinstance(error, RetryLater):
            body["retry_after_ms"] = round(error.retry_after_s * 1000)
        await self._send_json(body)

    def _check_epoch(self, epoch: int) -> None:
        if epoch != self._epoch:
            raise Cancelled("The speech was cancelled.")


def _parse(text: str | None) -> Start | TextMessage | ControlMessage:
    """Parses a client message; raises `BadRequest` for an invalid one."""
    if text is None or len(text) > MAX_MESSAGE_CHARS:
        raise BadRequest(
            f"Messages are JSON text of at most {MAX_MESSAGE_CHARS} characters. Send longer text in parts."
        )
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise BadRequest('A message is not JSON; expected {"type": ...}.') from None
    kind = message.get("type") if isinstance(message, dict) else None
    model = MESSAGES.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise BadRequest(f"A message has an unknown type; expected one of {', '.join(MESSAGES)}.")
    try:
        return model.model_validate(message)
    except ValidationError as error:
        raise BadRequest(describe(model, error.errors(include_url=False))) from None


def _close(sentence: QueuedSentence, opening: asyncio.Task[Waveform]) -> None:
    """Closes a sentence that was opened ahead and then cancelled."""
    if not opening.cancelled() and opening.exception() is not None:
        log.debug("Sentence %d was cancelled: %s", sentence.index, opening.exception())
    assert sentence.speech is not None
    sentence.speech.close()
