"""Body and output formats of ElevenLabs' `POST /v1/text-to-speech/{voice_id}`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from backend.api.request_parsing import RequestModel
from backend.api.speech.request import DEFAULTS, bounded
from backend.api.speech.transcode import OutputFormat
from backend.errors import BadRequest
from backend.runtime.request import BOUNDS, SpeechRequest

MP3_RATES_KBPS = ((22_050, 32), (24_000, 48), (44_100, 32), (44_100, 64), (44_100, 96), (44_100, 128), (44_100, 192))
OPUS_KBPS = (32, 64, 96, 128, 192)
SAMPLE_RATES_HZ = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
DEFAULT_FORMAT = "mp3_44100_128"

OUTPUT_FORMATS: dict[str, OutputFormat] = {
    **{f"mp3_{rate_hz}_{kbps}": OutputFormat("mp3", rate_hz, kbps) for rate_hz, kbps in MP3_RATES_KBPS},
    **{f"opus_48000_{kbps}": OutputFormat("opus", 48_000, kbps) for kbps in OPUS_KBPS},
    **{f"{name}_{rate_hz}": OutputFormat(name, rate_hz) for name in ("pcm", "wav") for rate_hz in SAMPLE_RATES_HZ},
}


def output_format_of(output_format: str) -> OutputFormat:
    """Returns the format with this ElevenLabs name. Raises `BadRequest` for an unsupported one."""
    if output_format not in OUTPUT_FORMATS:
        raise BadRequest(
            f"output_format is {output_format[:40]!r}; expected one of {', '.join(OUTPUT_FORMATS)}. Choose one of them."
        )
    return OUTPUT_FORMATS[output_format]


class VoiceSettings(RequestModel):
    """Voice settings. Only `speed` has an effect."""

    model_config = ConfigDict(extra="forbid")

    speed: float | None = Field(None, ge=BOUNDS["speed"][0], le=BOUNDS["speed"][1], description="2 doubles the speed.")
    stability: float | None = Field(None, ge=0, le=1, description="Ignored and reported.")
    similarity_boost: float | None = Field(None, ge=0, le=1, description="Ignored and reported.")
    style: float | None = Field(None, ge=0, le=1, description="Ignored and reported.")
    use_speaker_boost: bool | None = Field(None, description="Ignored and reported.")


class ElevenLabsBody(RequestModel):
    """A speech request in ElevenLabs' format."""

    model_config = ConfigDict(
        extra="forbid", protected_namespaces=(), json_schema_extra={"examples": [{"text": "Hello, world.", "seed": 7}]}
    )

    text: str = Field(min_length=1, pattern=r"\S", description="Text to synthesize.")
    seed: int | None = bounded("seed", "The same seed reproduces the same speech.")
    voice_settings: VoiceSettings | None = None
    apply_text_normalization: Literal["auto", "on", "off"] = Field(
        "auto", description="`off` turns number expansion off."
    )
    model_id: str | None = Field(None, max_length=255, description="Ignored and reported: one model is loaded.")
    language_code: str | None = Field(None, max_length=35, description="Ignored and reported.")
    pronunciation_dictionary_locators: list[dict[str, Any]] | None = Field(None, description="Ignored and reported.")
    previous_text: str | None = Field(None, description="Ignored and reported.")
    next_text: str | None = Field(None, description="Ignored and reported.")
    previous_request_ids: list[str] | None = Field(None, description="Ignored and reported.")
    next_request_ids: list[str] | None = Field(None, description="Ignored and reported.")
    use_pvc_as_ivc: bool | None = Field(None, description="Ignored and reported.")
    apply_language_text_normalization: bool | None = Field(None, description="Ignored and reported.")
    hcaptcha_token: str | None = Field(None, description="Ignored and reported.")

    def to_request(self, voice: str, is_streaming: bool, is_low_latency: bool) -> SpeechRequest:
        """Returns the engine's request."""
        speed = self.voice_settings.speed if self.voice_settings else None
        return SpeechRequest(
            text=self.text, voice=voice, seed=self.seed, whole=not is_streaming,
            normalize=self.apply_text_normalization != "off",
            speed=DEFAULTS["speed"] if speed is None else speed,
            latency="low" if is_low_latency else DEFAULTS["latency"],
        )  # fmt: skip

    @property
    def ignored_fields(self) -> tuple[str, ...]:
        """Names of the fields that were sent and have no effect."""
        supported = {"text", "seed", "voice_settings", "apply_text_normalization"}
        sent = self.model_dump(exclude_none=True)
        settings = sent.pop("voice_settings", {})
        return (
            *(name for name in sent if name not in supported),
            *(f"voice_settings.{name}" for name in settings if name != "speed"),
        )
