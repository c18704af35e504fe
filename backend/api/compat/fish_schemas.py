"""The body of fish's `POST /v1/tts`: the fields of its server and of its cloud, as a request of ours."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from backend.api.speech.request import DEFAULTS, Reference, bounded
from backend.api.speech.transcode import OutputFormat
from backend.runtime.request import BOUNDS, MAX_REFERENCES, MAX_VOICE_CHARS, Latency, ReferenceClip, SpeechRequest

MP3_KBPS = (64, 128, 192)
OPUS_KBPS = (-1000, 24, 32, 48, 64)
OPUS_AUTOMATIC = -1000
RATES_HZ = (8000, 16000, 24000, 32000, 44100, 48000)
# Fields of published clients that steer the reference implementation's own inner workings.
WITHOUT_EFFECT = (
    "stream_tokens", "stream_chunk_size", "min_chunk_length", "condition_on_previous_chunks", "early_stop_threshold"
)  # fmt: skip


def _object(value: Any) -> Any:
    """A form has no objects, so they come as JSON there."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("expected an object in JSON") from None


class Prosody(BaseModel):
    """How fast and how loud."""

    model_config = ConfigDict(extra="forbid")

    speed: float = Field(1.0, ge=BOUNDS["speed"][0], le=BOUNDS["speed"][1], description="2 is twice as fast.")
    volume: float = Field(0.0, ge=-20, le=20, description="In decibels; louder than full scale is clipped.")
    normalize_loudness: bool | None = Field(None, description="Not honored, but reported.")


class FishBody(BaseModel):
    """A text to speak, as fish's clients ask for it. A field left out, or null, is left to the checkpoint."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"text": "Hello, world.", "format": "mp3", "seed": 7}]}
    )

    text: str = Field(min_length=1, pattern=r"\S", description="The text to speak.")
    reference_id: str | None = Field(
        None, max_length=MAX_VOICE_CHARS, description="A voice: an id or name; wins over `references`."
    )
    references: list[Reference] = Field([], max_length=MAX_REFERENCES, description="Recordings of the voice.")
    format: Literal["wav", "pcm", "mp3", "opus", "flac"] = Field("wav", description="File format of the answer.")
    streaming: bool = Field(False, description="Send sound as it is made, in any format.")
    sample_rate: Literal[RATES_HZ] | None = Field(None, description="Of the answer, in Hz.")  # type: ignore[valid-type]
    mp3_bitrate: Literal[MP3_KBPS] | None = Field(None, description="In kbps.")  # type: ignore[valid-type]
    opus_bitrate: Literal[OPUS_KBPS] | None = Field(None, description="In kbps; -1000 is the usual one.")  # type: ignore[valid-type]
    prosody: Annotated[Prosody | None, BeforeValidator(_object)] = None
    seed: int | None = bounded("seed", "The same seed gives the same speech.")
    temperature: float | None = bounded("temperature", "0 always takes the likeliest code.")
    top_p: float | None = bounded("top_p", "Choose among the likeliest codes of this mass.")
    repetition_penalty: float | None = bounded("repetition_penalty", "Above 1 avoids recent codes.")
    max_new_tokens: int | None = Field(
        None, ge=0, le=BOUNDS["max_new_tokens"][1], description="Most frames of one piece of the text; 0 is no limit."
    )
    chunk_length: int | None = bounded("chunk_length", "Speak long text in pieces of about this many bytes.")
    normalize: bool = Field(DEFAULTS["normalize"], description="Read numbers, dates and the like as words.")
    latency: Latency = Field(DEFAULTS["latency"], description="`low` sends the first sound sooner.")
    use_memory_cache: Literal["on", "off"] | bool = Field("on", description="Reuse work on references seen before.")
    stream_tokens: bool | None = Field(None, description="Not honored, but reported.")
    stream_chunk_size: int | None = Field(None, description="Not honored, but reported.")
    min_chunk_length: int | None = Field(None, description="Not honored, but reported.")
    condition_on_previous_chunks: bool | None = Field(None, description="Not honored, but reported.")
    early_stop_threshold: float | None = Field(None, description="Not honored, but reported.")

    def to_request(self) -> SpeechRequest:
        """The same as the engine takes it."""
        has_voice = bool(self.reference_id)
        same = self.model_dump(
            include={
                "text",
                "seed",
                "temperature",
                "top_p",
                "repetition_penalty",
                "chunk_length",
                "normalize",
                "latency",
            }
        )
        return SpeechRequest(
            **same,
            voice=self.reference_id if has_voice else None,
            references=() if has_voice else tuple(ReferenceClip(clip.audio, clip.text) for clip in self.references),
            max_new_tokens=self.max_new_tokens or None,
            speed=self.prosody.speed if self.prosody else DEFAULTS["speed"],
            whole=not self.streaming,
            use_memory_cache=self.use_memory_cache in ("on", True),
        )

    def to_shape(self) -> OutputFormat:
        """How the sound is wanted."""
        bitrates = {"mp3": self.mp3_bitrate, "opus": self.opus_bitrate}
        kbps = bitrates.get(self.format)
        return OutputFormat(
            self.format, self.sample_rate, None if kbps == OPUS_AUTOMATIC else kbps,
            self.prosody.volume if self.prosody else 0.0,
        )  # fmt: skip

    @property
    def without_effect(self) -> tuple[str, ...]:
        """What was sent and changes nothing, by name."""
        names = [name for name in WITHOUT_EFFECT if getattr(self, name) is not None]
        names += [
            f"{format}_bitrate (format is {self.format})"
            for format, kbps in (("mp3", self.mp3_bitrate), ("opus", self.opus_bitrate))
            if kbps is not None and format != self.format
        ]
        if self.reference_id and self.references:
            names.append("references (reference_id wins)")
        if self.prosody and self.prosody.normalize_loudness is not None:
            names.append("prosody.normalize_loudness")
        return tuple(names)


def json_schema() -> dict[str, Any]:
    """The schema of the body in JSON or msgpack, complete in itself."""
    schema = FishBody.model_json_schema()
    definitions = schema.pop("$defs")
    schema["properties"]["references"]["items"] = definitions["Reference"]
    schema["properties"]["prosody"] = {"anyOf": [definitions["Prosody"], {"type": "null"}], "default": None}
    return schema


def form_schema() -> dict[str, Any]:
    """The schema of the form: recordings are uploaded files, and `prosody` is JSON in a field."""
    schema = json_schema()
    del schema["properties"]["references"], schema["examples"]
    schema["properties"] |= {
        "prosody": {"type": "string", "description": "The object as JSON."},
        "reference_audio": {"type": "array", "items": {"type": "string", "format": "binary"}},
        "reference_text": {"type": "array", "items": {"type": "string"}},
    }
    return schema
