"""Every router of the HTTP interface; `ROUTERS` is the list the app includes."""

from backend.api.routes import (
    audio_speech,
    audio_voices,
    cache,
    codec,
    elevenlabs,
    emotions,
    fish_codec,
    fish_references,
    fish_speech,
    health,
    jobs,
    metrics,
    models,
    ready,
    speech,
    voices,
)

ROUTERS = (
    speech.router,
    voices.router,
    audio_voices.router,
    codec.router,
    fish_speech.router,
    fish_references.router,
    fish_codec.router,
    elevenlabs.router,
    emotions.router,
    health.router,
    ready.router,
    metrics.router,
    cache.router,
    audio_speech.router,
    models.router,
    jobs.router,
)
