"""`/v1/audio/speech/stream`: the speech WebSocket."""

from __future__ import annotations

import time

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.websockets import WebSocket

from backend.api.dependencies import Host
from backend.api.speech.protocol import SpeechHandle
from backend.api.speech.response import SpeechRun
from backend.api.speech.websocket import SpeechSocket
from backend.runtime.request import SpeechRequest

router = APIRouter()

PATH = "/v1/audio/speech/stream"
# Open connections; only those with text to speak use the engine.
MAX_SOCKETS = 128


@router.websocket(PATH)
async def speech_stream(socket: WebSocket, host: Host) -> None:
    """Run a speech session; docs/api.md describes the messages."""
    if host.n_sockets >= MAX_SOCKETS or host.unavailable_reason is not None:
        await deny(socket, MAX_SOCKETS, host.unavailable_reason)
        return

    def create_speech(speech_request: SpeechRequest, is_timed: bool) -> SpeechHandle:
        speech = SpeechRun(socket, speech_request, time.perf_counter())
        speech.is_streamed = True
        return speech

    host.n_sockets += 1
    try:
        await SpeechSocket(socket, create_speech).run()
    finally:
        host.n_sockets -= 1


async def deny(socket: WebSocket, max_sockets: int, reason: str | None = None) -> None:
    """Rejects a handshake: with 503 and `reason`, or with 429 because `max_sockets` are open."""
    message = reason or f"{max_sockets} WebSockets are already open. Try again soon."
    kind, status = ("NotReady", 503) if reason else ("Busy", 429)
    await socket.send_denial_response(
        JSONResponse({"error": kind, "message": message}, status, headers={"Retry-After": "2"})
    )
