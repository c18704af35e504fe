"""Logic shared by both Speak pages: the state of the backend, and one speech request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from ui import labels
from ui.client import BackendClient, BackendError, ReferenceAudio
from ui.responses import Parameter, SpeechResult, VoiceInfo

PREVIEW_PATH = "/voices/{voice_id}/preview"


class BackendState(NamedTuple):
    """The state a page shows: a message, the voices, the settings by name."""

    message: str
    is_ready: bool
    voices: list[VoiceInfo]
    settings: dict[str, Parameter]
    can_preview: bool = False


class SpeechOutcome(NamedTuple):
    """The outcome of a speech request: a message, the audio file or None, the metrics as label and value."""

    message: str
    audio: bytes | None
    rows: list[tuple[str, str]]


def backend_state(client: BackendClient) -> BackendState:
    """Return the state of the backend; an error becomes a message."""
    settings: dict[str, Parameter] = {}
    try:
        settings = client.parameters()
        readiness = client.ready()
        if readiness.loading:
            return BackendState(labels.LOADING, False, [], settings)
        if not readiness.ready:
            return BackendState(f"{labels.NOT_READY} {readiness.message}", False, [], settings)
        voices = client.voices()
        can_preview = PREVIEW_PATH in client.paths()
        return BackendState(
            labels.READY if voices else labels.READY_WITHOUT_VOICES, True, voices, settings, can_preview
        )
    except BackendError as error:
        return BackendState(f"{labels.UNREACHABLE} {error}", False, [], settings)


def speak(
    client: BackendClient, text: str, voice: str | None, recording: ReferenceAudio | None, options: Mapping[str, Any]
) -> SpeechOutcome:
    """Synthesize a text; a failure becomes a message. A recording takes precedence over the voice."""
    if not text.strip():
        return SpeechOutcome(labels.EMPTY, None, [])
    sent = {**options, "voice": None if recording else voice}
    try:
        speech = client.speak(text, sent, [recording] if recording else [])
    except BackendError as error:
        return SpeechOutcome(f"{labels.REFUSED} {error}", None, [])
    return SpeechOutcome(message_of(speech), speech.audio, metric_rows(speech))


def message_of(speech: SpeechResult) -> str:
    """Return a message that names ignored parameters and a cut-off text."""
    parts = [labels.SPOKEN]
    if "x-ignored-params" in speech.headers:
        parts.append(f"{labels.IGNORED} {unquote(speech.headers['x-ignored-params']).removesuffix('.')}.")
    if speech.headers.get("x-finish-reason") == "length":
        parts.append(labels.CUT)
    return " ".join(parts)


def metric_rows(speech: SpeechResult) -> list[tuple[str, str]]:
    """Return the metrics of a speech as label and value, in display order."""
    return [(label, speech.headers[name]) for name, label in labels.HEADERS.items() if name in speech.headers]
