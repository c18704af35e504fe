"""All routers; `ROUTERS` lists what the application includes."""

from backend.api.routes import (
    codec,
    elevenlabs,
    emotions,
    fish_codec,
    fish_references,
    fish_speech,
    home,
    jobs,
    lossless,
    openai_models,
    openai_speech,
    openai_voices,
    speech,
    speech_socket,
    system,
    voices,
)

ROUTERS = (
    home.router,
    speech.router,
    speech_socket.router,
    voices.router,
    openai_voices.router,
    codec.router,
    lossless.router,
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
