"""Every router of the HTTP interface; `ROUTERS` is the list the app includes."""

from backend.api.routes import cache, emotions, health, metrics, ready, requests, speech, voices

ROUTERS = (
    speech.router,
    voices.router,
    emotions.router,
    health.router,
    ready.router,
    requests.router,
    metrics.router,
    cache.router,
)
