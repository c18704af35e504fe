"""Client messages of the speech WebSocket."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.api.request_parsing import RequestModel
from backend.api.speech.request import DEFAULTS, Format, bounded
from backend.runtime.request import MAX_VOICE_CHARS, Latency, Markup, SpeechRequest

MAX_PACE_S = 3600.0


class Start(RequestModel):
    """`{"type": "start", ...}`: session parameters. Optional; at most once, before any text."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["start"] = "start"
    format: Format = Field("pcm", description="Audio format of the session; `pcm` is raw 16-bit samples.")
    audio: Literal["binary", "json"] = Field("binary", description="Audio as binary messages, or as base64 in JSON.")
    timings: bool = Field(False, description="Also send timestamps of each sentence and word.")
    pace: float = Field(
        10.0, ge=0, le=MAX_PACE_S, description="Seconds of audio sent ahead of playback; 0 is no limit."
    )
    voice: str | None = Field(None, min_length=1, max_length=MAX_VOICE_CHARS)
    seed: int | None = bounded("seed", "Each sentence derives its own seed from this one.")
    temperature: float | None = bounded("temperature", "As in `POST /tts`, like the fields below.")
    top_p: float | None = bounded("top_p", "")
    top_k: int | None = bounded("top_k", "")
    min_p: float | None = bounded("min_p", "")
    repetition_penalty: float | None = bounded("repetition_penalty", "")
    max_new_tokens: int | None = bounded("max_new_tokens", "")
    speed: float = bounded("speed", "")
    pitch: float = bounded("pitch", "")
    timeout_s: float | None = bounded("timeout_s", "Per sentence.")
    normalize: bool = DEFAULTS["normalize"]
    markup: Markup = DEFAULTS["markup"]
    latency: Latency = "low"

    def request_of(self, text: str, seed: int | None) -> SpeechRequest:
        """Returns the engine's request for one sentence."""
        own = {"type", "format", "audio", "timings", "pace", "seed"}
        return SpeechRequest(**self.model_dump(exclude=own), text=text, seed=seed)


class TextMessage(BaseModel):
    """`{"type": "text", "text": "..."}`: more text, split at any position."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: str


class ControlMessage(BaseModel):
    """`flush` speaks buffered text at once, `cancel` drops all pending text, `end` flushes and closes."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["flush", "cancel", "end"]


MESSAGES: dict[Any, type[Start | TextMessage | ControlMessage]] = {
    "start": Start, "text": TextMessage, "flush": ControlMessage, "cancel": ControlMessage, "end": ControlMessage,
}  # fmt: skip
