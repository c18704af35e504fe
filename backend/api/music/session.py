"""A music WebSocket: one piece after another, changed while it plays, paced by what the client has buffered."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from backend.api.music.request import Piece
from backend.api.music.response import STREAMED_FORMATS, facts_of
from backend.api.music.run import MusicRun
from backend.api.request_parsing import describe
from backend.api.speech.request import Format
from backend.audio.crossfade import fade_in
from backend.audio.writers import Writer, open_writer
from backend.errors import BadRequest, Cancelled, PhonogramError

MAX_MESSAGE_CHARS = 16_384
CLOSE_NORMAL, CLOSE_IDLE, CLOSE_INVALID = 1000, 1001, 1003
# A change of the prompt fades over this time; pieces are not touched otherwise.
SWITCH_S = 0.5
MIN_AHEAD_S, MAX_AHEAD_S = 1.0, 60.0
PIECE_S = 1.0


class StartMusic(Piece):
    """`{"type": "start", "prompt": "...", ...}`: the first piece and the settings of the session."""

    type: Literal["start"]
    format: Format = Field("pcm", description="Audio format; `pcm` is raw 16-bit samples, interleaved.")
    ahead_s: float = Field(4.0, ge=MIN_AHEAD_S, le=MAX_AHEAD_S, description="Seconds sent ahead of playback.")
    endless: bool = Field(False, description="When a piece ends, the next one begins, with the next seed.")


class ChangeMusic(Piece):
    """`{"type": "prompt", "prompt": "...", ...}`: another piece from here on, faded in."""

    type: Literal["prompt"]


class BufferReport(BaseModel):
    """`{"type": "buffer", "seconds": 2.5}`: what the client still has to play."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["buffer"]
    seconds: float = Field(ge=0, le=3600)


class MusicControl(BaseModel):
    """`cancel` stops the music and keeps the session, `end` closes it."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["cancel", "end"]


MusicMessage = StartMusic | ChangeMusic | BufferReport | MusicControl
MESSAGES: dict[Any, type[MusicMessage]] = {
    "start": StartMusic, "prompt": ChangeMusic, "buffer": BufferReport, "cancel": MusicControl, "end": MusicControl,
}  # fmt: skip


class MusicSession:
    """One client. A task receives messages, another plays; both run on the event loop."""

    def __init__(self, socket: WebSocket, idle_s: float):
        self._socket, self._idle_s = socket, idle_s
        self._settings: StartMusic | None = None
        self._playing: asyncio.Task[None] | None = None
        self._change: Piece | None = None
        self._run: MusicRun | None = None
        self._sending = asyncio.Lock()
        self._sent_s = 0.0
        # Playback as the client reported it: what it had at a time, and how much had been sent then.
        self._reported: tuple[float, float, float] | None = None
        self._began_s = 0.0

    async def run(self) -> None:
        """Accepts the connection and serves it until either side closes."""
        await self._socket.accept()
        try:
            await self._socket.close(await self._receive_all())
        except WebSocketDisconnect:
            pass
        finally:
            await self._stop()

    async def _receive_all(self) -> int:
        while True:
            is_busy = self._playing is not None and not self._playing.done()
            try:
                text = await asyncio.wait_for(self._socket.receive_text(), None if is_busy else self._idle_s)
            except asyncio.TimeoutError:
                await self._error(BadRequest(f"Idle for {self._idle_s:g} s (SOCKET_IDLE_S). Connect again."))
                return CLOSE_IDLE
            except KeyError:
                await self._error(BadRequest("Got a binary message; expected JSON text."))
                return CLOSE_INVALID
            try:
                message = _parsed(text)
                if isinstance(message, MusicControl) and message.type == "end":
                    return CLOSE_NORMAL
                await self._handle(message)
            except BadRequest as error:
                await self._error(error)
                return CLOSE_INVALID

    async def _handle(self, message: MusicMessage) -> None:
        is_playing = self._playing is not None and not self._playing.done()
        if isinstance(message, BufferReport):
            self._reported = (time.monotonic(), message.seconds, self._sent_s)
        elif isinstance(message, MusicControl):
            await self._stop()
            await self._send({"type": "cancelled", "at_s": round(self._sent_s, 3)})
        elif isinstance(message, StartMusic):
            if is_playing:
                raise BadRequest("Music is playing; send a prompt to change it, or cancel it first.")
            if message.format not in STREAMED_FORMATS:
                raise BadRequest(f"{message.format} cannot be streamed; expected one of {', '.join(STREAMED_FORMATS)}.")
            self._settings, self._change = message, None
            self._sent_s, self._reported, self._began_s = 0.0, None, time.monotonic()
            self._playing = asyncio.create_task(self._play(message))
        elif not is_playing:
            raise BadRequest("Nothing is playing; expected a start message first.")
        else:
            self._change = message

    async def _play(self, first: StartMusic) -> None:
        piece: Piece | None = first
        writer: Writer | None = None
        tail: np.ndarray | None = None  # of the piece before a change, to fade out
        try:
            while piece is not None:
                request = piece.to_request()
                async with MusicRun(self._socket, request, piece.engine) as run:
                    self._run = run
                    stream = await run.begin()
                    rate_hz, n_channels = stream.sample_rate_hz, stream.n_channels
                    if writer is None:
                        writer = open_writer(first.format, rate_hz, n_channels)
                    await self._send(
                        {"type": "piece", "at_s": round(self._sent_s, 3), "sample_rate": rate_hz,
                         "channels": n_channels, "format": first.format, "seed": request.seed,
                         "labels": facts_of(stream), "not_understood": list(stream.not_understood)}
                    )  # fmt: skip
                    tail = await self._play_piece(run, writer, tail)
                if tail is not None:
                    piece, self._change = self._change, None
                elif first.endless:
                    piece = piece.model_copy(update={"seed": piece.seed + 1})
                else:
                    piece = None
            assert writer is not None
            await self._send_audio(await run.run(writer.finish), 0.0)
            await self._send({"type": "done", "audio_s": round(self._sent_s, 3)})
        except Cancelled:
            pass
        except PhonogramError as error:
            await self._error(error)
        except WebSocketDisconnect:
            pass

    async def _play_piece(self, run: MusicRun, writer: Writer, tail: np.ndarray | None) -> np.ndarray | None:
        """Sends a piece to its end and returns None, or up to a change, and returns what is to be faded out then."""
        while (chunk := await run.next()) is not None:
            samples, rate_hz = chunk.mix.samples, chunk.mix.rate_hz
            if tail is not None:
                samples, tail = _crossfaded(tail, samples), None
            step, fade = round(PIECE_S * rate_hz), round(SWITCH_S * rate_hz)
            for start in range(0, samples.shape[1], step):
                await self._wait_for_room()
                if self._change is not None and samples.shape[1] - start > fade:
                    run.cancel()
                    return samples[:, start : start + fade]
                part = samples[:, start : start + step]
                await self._send_audio(await run.run(writer.push, part), part.shape[1] / rate_hz)
        return None

    async def _wait_for_room(self) -> None:
        """Waits until the client has less than `ahead_s` left to play."""
        assert self._settings is not None
        while self._change is None:
            now_s = time.monotonic()
            if self._reported is None:
                left_s = self._sent_s - (now_s - self._began_s)
            else:
                at_s, seconds, sent_s = self._reported
                left_s = max(0.0, seconds - (now_s - at_s)) + self._sent_s - sent_s
            too_much_s = left_s - self._settings.ahead_s
            if too_much_s <= 0:
                return
            await asyncio.sleep(min(too_much_s, 0.1))

    async def _send_audio(self, content: bytes, duration_s: float) -> None:
        self._sent_s += duration_s
        if content:
            async with self._sending:
                await self._socket.send_bytes(content)

    async def _send(self, message: dict[str, Any]) -> None:
        async with self._sending:
            await self._socket.send_text(json.dumps(message))

    async def _error(self, error: PhonogramError) -> None:
        await self._send({"type": "error", "error": type(error).__name__, "message": str(error)})

    async def _stop(self) -> None:
        """Ends what is playing. The slot is free when this returns."""
        playing, self._playing = self._playing, None
        if playing is None:
            return
        if self._run is not None:
            self._run.cancel()
        playing.cancel()
        await asyncio.wait({playing})
        if not playing.cancelled():
            playing.exception()


def _crossfaded(tail: np.ndarray, samples: np.ndarray) -> np.ndarray:
    n = min(tail.shape[1], samples.shape[1])
    into = fade_in(n, "equal_power")
    mixed = samples.copy()
    mixed[:, :n] = tail[:, :n] * into[::-1] + samples[:, :n] * into
    return mixed


def _parsed(text: str) -> MusicMessage:
    """Returns the message. Raises `BadRequest` naming what is wrong."""
    if len(text) > MAX_MESSAGE_CHARS:
        raise BadRequest(f"The message has {len(text)} characters; the limit is {MAX_MESSAGE_CHARS}.")
    try:
        content = json.loads(text)
    except ValueError:
        raise BadRequest("The message is not JSON; expected an object with a type.") from None
    kind = content.get("type") if isinstance(content, dict) else None
    if not isinstance(kind, str) or kind not in MESSAGES:
        raise BadRequest(f"The message has the type {str(kind)[:40]!r}; expected one of {', '.join(MESSAGES)}.")
    try:
        return MESSAGES[kind].model_validate(content)
    except ValidationError as error:
        raise BadRequest(describe(MESSAGES[kind], error.errors())) from None
