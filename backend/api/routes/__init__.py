"""Every router of the HTTP interface; `ROUTERS` is the list the app includes."""

from backend.api.routes import (
    audio_voices,
    cache,
    codec,
    emotions,
    health,
    metrics,
    ready,
    requests,
    speech,
    speech_socket,
    voices,
)

ROUTERS = (
    speech.router,
    speech_socket.router,
    voices.router,
    audio_voices.router,
    codec.router,
    emotions.router,
    health.router,
    ready.router,
    requests.router,
    metrics.router,
    cache.router,
)
