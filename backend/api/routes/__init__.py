"""Every router of the HTTP interface; `ROUTERS` is the list the app includes."""

from backend.api.routes import audio_speech, cache, emotions, health, metrics, models, ready, speech, voices

ROUTERS = (
    speech.router,
    voices.router,
    emotions.router,
    health.router,
    ready.router,
    metrics.router,
    cache.router,
    audio_speech.router,
    models.router,
)
