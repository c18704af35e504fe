"""`/v1/audio/speech/stream`: text in and speech out over one WebSocket."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.websockets import WebSocket

from backend.api.engine import EngineHost
from backend.api.speech_socket import SpeechSocket

router = APIRouter()

# Open conversations; a speech is only made for those that have something to say.
MAX_SOCKETS = 128


@router.websocket("/v1/audio/speech/stream")
async def speech_stream(socket: WebSocket) -> None:
    """The messages are described in docs/api.md."""
    host: EngineHost = socket.app.state.host
    if host.n_sockets >= MAX_SOCKETS or host.missing is not None:
        message = host.missing or f"{MAX_SOCKETS} conversations are open already. Try again soon."
        kind, status = ("NotReady", 503) if host.missing else ("Busy", 429)
        await socket.send_denial_response(
            JSONResponse({"error": kind, "message": message}, status, headers={"Retry-After": "2"})
        )
        return
    host.n_sockets += 1
    try:
        await SpeechSocket(socket).run()
    finally:
        host.n_sockets -= 1
