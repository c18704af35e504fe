"""What is said over the speech socket, in both directions."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.api.speech.request import DEFAULTS, Format, bounded
from backend.runtime.request import MAX_VOICE_CHARS, Latency, Markup, SpeechRequest

MAX_PACE_S = 3600.0


class Start(BaseModel):
    """`{"type": "start", ...}`: how to speak from now on. May be left out; once, before any text."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["start"] = "start"
    format: Format = Field("pcm", description="One file over all sentences; `pcm` is bare 16-bit samples.")
    audio: Literal["binary", "json"] = Field("binary", description="Sound as binary messages, or in base64.")
    timings: bool = Field(False, description="Also tell when each sentence and word is heard.")
    pace: float = Field(
        10.0, ge=0, le=MAX_PACE_S, description="Seconds of sound sent ahead of its playing; 0 sends all at once."
    )
    voice: str | None = Field(None, min_length=1, max_length=MAX_VOICE_CHARS)
    seed: int | None = bounded("seed", "Of the first sentence; each has noise of its own.")
    temperature: float | None = bounded("temperature", "As in `POST /tts`, like those below.")
    top_p: float | None = bounded("top_p", "")
    top_k: int | None = bounded("top_k", "")
    min_p: float | None = bounded("min_p", "")
    repetition_penalty: float | None = bounded("repetition_penalty", "")
    max_new_tokens: int | None = bounded("max_new_tokens", "")
    speed: float = bounded("speed", "")
    pitch: float = bounded("pitch", "")
    timeout_s: float | None = bounded("timeout_s", "Of each sentence.")
    normalize: bool = DEFAULTS["normalize"]
    markup: Markup = DEFAULTS["markup"]
    latency: Latency = "low"

    def request_of(self, text: str, seed: int | None) -> SpeechRequest:
        """One sentence as the engine takes it."""
        own = {"type", "format", "audio", "timings", "pace", "seed"}
        return SpeechRequest(**self.model_dump(exclude=own), text=text, seed=seed)


class TextMessage(BaseModel):
    """`{"type": "text", "text": "..."}`: more text, cut anywhere."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: str


class ControlMessage(BaseModel):
    """`flush` speaks what has come without waiting for its end, `cancel` stops and forgets, `end` flushes and closes."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["flush", "cancel", "end"]


MESSAGES: dict[Any, type[Start | TextMessage | ControlMessage]] = {
    "start": Start, "text": TextMessage, "flush": ControlMessage, "cancel": ControlMessage, "end": ControlMessage,
}  # fmt: skip
