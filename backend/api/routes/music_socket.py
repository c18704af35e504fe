"""`/v1/audio/music/stream`: the music WebSocket."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.websockets import WebSocket

from backend.api.dependencies import AppSettings, Host
from backend.api.music.session import MusicSession
from backend.api.routes.speech_socket import MAX_SOCKETS, deny

router = APIRouter()

PATH = "/v1/audio/music/stream"


@router.websocket(PATH)
async def music_stream(socket: WebSocket, host: Host, settings: AppSettings) -> None:
    """Play music that changes while it plays; docs/api.md describes the messages."""
    if host.n_sockets >= MAX_SOCKETS or host.is_stopping:
        await deny(socket, MAX_SOCKETS, host.unavailable_reason if host.is_stopping else None)
        return
    host.n_sockets += 1
    try:
        await MusicSession(socket, settings.socket_idle_s).run()
    finally:
        host.n_sockets -= 1
