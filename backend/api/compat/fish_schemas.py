"""Body of fish's `POST /v1/tts`: the fields of its server and its cloud."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from backend.api.request_parsing import RequestModel
from backend.api.speech.request import DEFAULTS, Reference, bounded
from backend.api.speech.transcode import OutputFormat
from backend.runtime.request import BOUNDS, MAX_REFERENCES, MAX_VOICE_CHARS, Latency, ReferenceClip, SpeechRequest

MP3_KBPS = (64, 128, 192)
OPUS_KBPS = (-1000, 24, 32, 48, 64)
OPUS_AUTOMATIC = -1000
RATES_HZ = (8000, 16000, 24000, 32000, 44100, 48000)
# Fields of published clients that tune internals of the reference implementation.
IGNORED_FIELDS = (
    "stream_tokens", "stream_chunk_size", "min_chunk_length", "condition_on_previous_chunks", "early_stop_threshold"
)  # fmt: skip


def _parse_object(value: Any) -> Any:
    """Parses an object that a form sends as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("expected an object in JSON") from None


class Prosody(RequestModel):
    """Speed and volume."""

    model_config = ConfigDict(extra="forbid")

    speed: float = Field(1.0, ge=BOUNDS["speed"][0], le=BOUNDS["speed"][1], description="2 doubles the speed.")
    volume: float = Field(0.0, ge=-20, le=20, description="Gain in dB; samples beyond full scale are clipped.")
    normalize_loudness: bool | None = Field(None, description="Ignored and reported.")


class FishBody(RequestModel):
    """A speech request in fish's format. Omitted or null fields use the defaults of the checkpoint."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"text": "Hello, world.", "format": "mp3", "seed": 7}]}
    )

    text: str = Field(min_length=1, pattern=r"\S", description="Text to synthesize.")
    reference_id: str | None = Field(
        None, max_length=MAX_VOICE_CHARS, description="Voice id or name; takes precedence over `references`."
    )
    references: list[Reference] = Field([], max_length=MAX_REFERENCES, description="Reference audio for voice cloning.")
    format: Literal["wav", "pcm", "mp3", "opus", "flac"] = Field("wav", description="Audio format of the response.")
    streaming: bool = Field(False, description="Stream audio while it is generated, in any format.")
    sample_rate: Literal[RATES_HZ] | None = Field(None, description="Sample rate of the response in Hz.")  # type: ignore[valid-type]
    mp3_bitrate: Literal[MP3_KBPS] | None = Field(None, description="In kbps.")  # type: ignore[valid-type]
    opus_bitrate: Literal[OPUS_KBPS] | None = Field(None, description="In kbps; -1000 is automatic.")  # type: ignore[valid-type]
    prosody: Annotated[Prosody | None, BeforeValidator(_parse_object)] = None
    seed: int | None = bounded("seed", "The same seed reproduces the same speech.")
    temperature: float | None = bounded("temperature", "0 always picks the most likely code.")
    top_p: float | None = bounded("top_p", "Nucleus sampling: keep the most likely codes with this total probability.")
    repetition_penalty: float | None = bounded("repetition_penalty", "Values above 1 make recent codes less likely.")
    max_new_tokens: int | None = Field(
        None,
        ge=0,
        le=BOUNDS["max_new_tokens"][1],
        description="Maximum number of frames per text segment; 0 is no limit.",
    )
    chunk_length: int | None = bounded("chunk_length", "Split long text into segments of about this many bytes.")
    normalize: bool = Field(DEFAULTS["normalize"], description="Expand numbers, dates and similar into words.")
    latency: Latency = Field(DEFAULTS["latency"], description="`low` reduces the time to first audio.")
    use_memory_cache: Literal["on", "off"] | bool = Field("on", description="Use cached references.")
    stream_tokens: bool | None = Field(None, description="Ignored and reported.")
    stream_chunk_size: int | None = Field(None, description="Ignored and reported.")
    min_chunk_length: int | None = Field(None, description="Ignored and reported.")
    condition_on_previous_chunks: bool | None = Field(None, description="Ignored and reported.")
    early_stop_threshold: float | None = Field(None, description="Ignored and reported.")

    def to_request(self) -> SpeechRequest:
        """Returns the engine's request."""
        has_voice = bool(self.reference_id)
        common = self.model_dump(
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
            **common,
            voice=self.reference_id if has_voice else None,
            references=() if has_voice else tuple(ReferenceClip(clip.audio, clip.text) for clip in self.references),
            max_new_tokens=self.max_new_tokens or None,
            speed=self.prosody.speed if self.prosody else DEFAULTS["speed"],
            whole=not self.streaming,
            use_memory_cache=self.use_memory_cache in ("on", True),
        )

    def to_output_format(self) -> OutputFormat:
        bitrates = {"mp3": self.mp3_bitrate, "opus": self.opus_bitrate}
        kbps = bitrates.get(self.format)
        return OutputFormat(
            self.format, self.sample_rate, None if kbps == OPUS_AUTOMATIC else kbps,
            self.prosody.volume if self.prosody else 0.0,
        )  # fmt: skip

    @property
    def ignored_fields(self) -> tuple[str, ...]:
        """Names of the fields that were sent and have no effect."""
        names = [name for name in IGNORED_FIELDS if getattr(self, name) is not None]
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
    """Returns the self-contained schema of the JSON or msgpack body."""
    schema = FishBody.model_json_schema()
    definitions = schema.pop("$defs")
    schema["properties"]["references"]["items"] = definitions["Reference"]
    schema["properties"]["prosody"] = {"anyOf": [definitions["Prosody"], {"type": "null"}], "default": None}
    return schema


def form_schema() -> dict[str, Any]:
    """Returns the schema of the form: references are uploaded files, and `prosody` is a JSON field."""
    schema = json_schema()
    del schema["properties"]["references"], schema["examples"]
    schema["properties"] |= {
        "prosody": {"type": "string", "description": "Object as JSON text."},
        "reference_audio": {"type": "array", "items": {"type": "string", "format": "binary"}},
        "reference_text": {"type": "array", "items": {"type": "string"}},
    }
    return schema
