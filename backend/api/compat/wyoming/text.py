"""What a Wyoming event asks to be spoken, and text that comes in chunks."""

from __future__ import annotations

from typing import Any

from backend.api.compat.wyoming.events import Event
from backend.errors import BadRequest, LimitExceeded
from backend.runtime.request import Markup
from backend.text.segmentation.incremental import SentenceBuffer

MARKUPS: dict[str | None, Markup] = {None: "plain", "text": "plain", "ssml": "ssml"}


class SpokenText:
    """Text that comes in chunks, and how it is to be spoken."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.voice, self.markup = voice_of(data), markup_of(data)
        if self.markup == "ssml":
            raise BadRequest("SSML cannot be streamed in, since it is read as a whole. Send it as one synthesize.")
        self.buffer = SentenceBuffer()
        self._n_chars = 0

    def push(self, text: str, max_chars: int) -> list[str]:
        """More text; returns the sentences that are complete."""
        self._n_chars += len(text)
        if self._n_chars > max_chars:
            raise LimitExceeded(f"The text is longer than {max_chars} characters (MAX_TEXT_CHARS). Send it in parts.")
        return self.buffer.push(text)


def text_of(event: Event) -> str:
    text = event.data.get("text")
    if not isinstance(text, str):
        raise BadRequest(f"An event {event.type} needs a text. Send one.")
    return text


def voice_of(data: dict[str, Any]) -> str | None:
    voice = data.get("voice") or {}
    name = voice.get("name") if isinstance(voice, dict) else voice
    if name is not None and not isinstance(name, str):
        raise BadRequest("The voice of an event needs a name in text. Send an id or name of a voice.")
    return name


def markup_of(data: dict[str, Any]) -> Markup:
    wanted = data.get("text_format")
    if not isinstance(wanted, str | None) or wanted not in MARKUPS:
        raise BadRequest(f"text_format is {str(wanted)[:20]!r}; expected text or ssml. Choose one of them.")
    return MARKUPS[wanted]
