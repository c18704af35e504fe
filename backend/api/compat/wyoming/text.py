"""Text, voice and markup of Wyoming events, and text that arrives in chunks."""

from __future__ import annotations

from typing import Any

from backend.api.compat.wyoming.events import Event
from backend.errors import BadRequest, LimitExceeded
from backend.runtime.request import Markup
from backend.text.segmentation.incremental import SentenceBuffer

MARKUPS: dict[str | None, Markup] = {None: "plain", "text": "plain", "ssml": "ssml"}


class StreamingText:
    """Text that arrives in chunks, with its voice and markup."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.voice, self.markup = voice_of(data), markup_of(data)
        if self.markup == "ssml":
            raise BadRequest(
                "SSML cannot be streamed, because it is parsed as a whole. Send it in one synthesize event."
            )
        self.buffer = SentenceBuffer()
        self._n_chars = 0

    def push(self, text: str, max_chars: int) -> list[str]:
        """Adds text and returns the sentences that are complete."""
        self._n_chars += len(text)
        if self._n_chars > max_chars:
            raise LimitExceeded(f"The text exceeds {max_chars} characters (MAX_TEXT_CHARS). Send it in parts.")
        return self.buffer.push(text)


def text_of(event: Event) -> str:
    text = event.data.get("text")
    if not isinstance(text, str):
        raise BadRequest(f"A {event.type} event needs a text. Send one.")
    return text


def voice_of(data: dict[str, Any]) -> str | None:
    voice = data.get("voice") or {}
    name = voice.get("name") if isinstance(voice, dict) else voice
    if name is not None and not isinstance(name, str):
        raise BadRequest("The voice of an event needs a name. Send the id or name of a voice.")
    return name


def markup_of(data: dict[str, Any]) -> Markup:
    name = data.get("text_format")
    if not isinstance(name, str | None) or name not in MARKUPS:
        raise BadRequest(f"text_format is {str(name)[:20]!r}; expected text or ssml. Choose one of them.")
    return MARKUPS[name]
