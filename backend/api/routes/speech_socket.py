"""`/v1/audio/speech/stream`: text in and speech out over one WebSocket."""

from __future__ import annotations

import time

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.websockets import WebSocket

from backend.api.engine_host import EngineHost
from backend.api.speech.protocol import SpeechHandle
from backend.api.speech.response import SpeechRun
from backend.api.speech.websocket import SpeechSocket
from backend.runtime.request import SpeechRequest

router = APIRouter()

PATH = "/v1/audio/speech/stream"
# Open conversations; a speech is only made for those that have something to say.
MAX_SOCKETS = 128


@router.websocket(PATH)
async def speech_stream(socket: WebSocket) -> None:
    """The messages are described in docs/api.md."""
    host: EngineHost = socket.app.state.host
    if host.n_sockets >= MAX_SOCKETS or host.missing is not None:
        await deny(socket, MAX_SOCKETS, host.missing)
        return

    def speak(wanted: SpeechRequest, is_timed: bool) -> SpeechHandle:
        speech = SpeechRun(socket, wanted, time.perf_counter())
        speech.is_streamed = True
        return speech

    host.n_sockets += 1
    try:
        await SpeechSocket(socket, speak).run()
    finally:
        host.n_sockets -= 1


async def deny(socket: WebSocket, n_most: int, missing: str | None = None) -> None:
    """Refuse a handshake: `missing` says why nothing can be spoken, else there are `n_most` conversations."""
    message = missing or f"{n_most} conversations are open already. Try again soon."
    kind, status = ("NotReady", 503) if missing else ("Busy", 429)
    await socket.send_denial_response(
        JSONResponse({"error": kind, "message": message}, status, headers={"Retry-After": "2"})
    )
