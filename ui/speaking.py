"""What both Speak pages do, apart from drawing: the state of the backend, and one speech."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from ui import labels
from ui.answers import Parameter, SpeechResult, VoiceInfo
from ui.client import BackendClient, BackendError, ReferenceAudio

PREVIEW_PATH = "/voices/{voice_id}/preview"


class Situation(NamedTuple):
    """What a page needs to be drawn: a sentence on the state, the voices, the settings by name."""

    state: str
    can_speak: bool
    voices: list[VoiceInfo]
    settings: dict[str, Parameter]
    can_preview: bool = False


class Answer(NamedTuple):
    """What came of one text: a sentence, the sound file or None, the measures as label and value."""

    state: str
    audio: bytes | None
    rows: list[tuple[str, str]]


def situation(client: BackendClient) -> Situation:
    """Ask the backend how things stand; a sentence instead of an error."""
    settings: dict[str, Parameter] = {}
    try:
        settings = client.parameters()
        readiness = client.ready()
        if readiness.loading:
            return Situation(labels.LOADING, False, [], settings)
        if not readiness.ready:
            return Situation(f"{labels.NOT_READY} {readiness.message}", False, [], settings)
        voices = client.voices()
        can_preview = PREVIEW_PATH in client.paths()
        return Situation(labels.READY if voices else labels.READY_WITHOUT_VOICES, True, voices, settings, can_preview)
    except BackendError as error:
        return Situation(f"{labels.UNREACHABLE} {error}", False, [], settings)


def speak(
    client: BackendClient, text: str, voice: str | None, recording: ReferenceAudio | None, options: Mapping[str, Any]
) -> Answer:
    """Have a text spoken; every failure is a sentence. A recording goes before the voice."""
    if not text.strip():
        return Answer(labels.EMPTY, None, [])
    sent = {**options, "voice": None if recording else voice}
    try:
        spoken = client.speak(text, sent, [recording] if recording else [])
    except BackendError as error:
        return Answer(f"{labels.REFUSED} {error}", None, [])
    return Answer(sentence_of(spoken), spoken.audio, rows_of(spoken))


def sentence_of(spoken: SpeechResult) -> str:
    """Whether all went as asked."""
    parts = [labels.SPOKEN]
    if "x-ignored-params" in spoken.headers:
        parts.append(f"{labels.IGNORED} {unquote(spoken.headers['x-ignored-params']).removesuffix('.')}.")
    if spoken.headers.get("x-finish-reason") == "length":
        parts.append(labels.CUT)
    return " ".join(parts)


def rows_of(spoken: SpeechResult) -> list[tuple[str, str]]:
    """The measures of a speech, in reading order."""
    return [(label, spoken.headers[name]) for name, label in labels.HEADERS.items() if name in spoken.headers]


def playable(choices: tuple[str, ...]) -> list[str]:
    """The choices that a page can offer: of the file formats, those a browser plays."""
    return [choice for choice in choices if choice not in labels.UNPLAYABLE]
