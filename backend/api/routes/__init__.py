"""Routers of the HTTP API; the app includes all of `ROUTERS`."""

from backend.api.routes import (
    codec,
    elevenlabs,
    emotions,
    fish_codec,
    fish_references,
    fish_speech,
    jobs,
    openai_models,
    openai_speech,
    openai_voices,
    speech,
    speech_socket,
    system,
    voices,
)

ROUTERS = (
    speech.router,
    speech_socket.router,
    voices.router,
    openai_voices.router,
    codec.router,
    fish_speech.router,
    fish_references.router,
    fish_codec.router,
    elevenlabs.router,
    emotions.router,
    system.router,
    jobs.router,
    openai_speech.router,
    openai_models.router,
)
