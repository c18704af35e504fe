"""The body of the music endpoints."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.api.request_parsing import RequestModel
from backend.api.speech.request import Format
from backend.music.composer import MAX_DURATION_S, MAX_TEMPO_BPM, MIN_DURATION_S, MIN_TEMPO_BPM
from backend.music.prompt import MAX_CHARACTERS
from backend.pipeline.music.engine import (
    MAX_INSTRUMENTS,
    MAX_LUFS,
    MAX_PROMPT_CHANGES,
    MAX_SEED,
    MIN_LUFS,
    MusicRequest,
    PromptChange,
    Quality,
)

EngineName = Literal["auto", "score"]


class PromptChangeBody(BaseModel):
    """Another prompt from the next bar line after `at_s` on."""

    model_config = ConfigDict(extra="forbid")

    at_s: float = Field(gt=0, le=MAX_DURATION_S)
    prompt: str = Field(min_length=1, max_length=MAX_CHARACTERS, pattern=r"\S")


class Piece(RequestModel):
    """A description of music. What is omitted or null is taken from the prompt, else chosen by the seed."""

    model_config = ConfigDict(extra="forbid")

    prompt: str = Field(
        min_length=1, max_length=MAX_CHARACTERS, pattern=r"\S",
        description="Genre, mood, instruments, key, tempo, meter or length in words.",
    )  # fmt: skip
    duration_s: float | None = Field(
        None, ge=MIN_DURATION_S, le=MAX_DURATION_S, description="Seconds; default: as in the prompt, else 30."
    )
    seed: int = Field(0, ge=0, le=MAX_SEED, description="The same seed gives the same piece.")
    tempo_bpm: int | None = Field(
        None, ge=MIN_TEMPO_BPM, le=MAX_TEMPO_BPM, description="Beats a minute, whatever the prompt says."
    )
    key: str | None = Field(None, min_length=1, max_length=20, description='Such as "A minor" or "Bb major".')
    meter: str | None = Field(None, min_length=3, max_length=5, description="4/4, 3/4, 6/8, 2/4, 5/4 or 12/8.")
    instruments: list[Annotated[str, Field(min_length=1, max_length=40)]] = Field(
        [],
        max_length=MAX_INSTRUMENTS,
        description="Names of `GET /v1/audio/music`; they play whatever the prompt says.",
    )
    mood: str | None = Field(None, min_length=1, max_length=40, description="A mood of `GET /v1/audio/music`.")
    genre: str | None = Field(None, min_length=1, max_length=40, description="A genre of `GET /v1/audio/music`.")
    quality: Quality = Field("balanced", description="`fast` plays at most three parts; `high` is `balanced` here.")
    prompt_changes: list[PromptChangeBody] = Field(
        [], max_length=MAX_PROMPT_CHANGES, description="Other prompts from given times on; not with stems."
    )
    engine: EngineName = Field("auto", description="`auto` takes the best engine there is.")

    def to_request(self, **more: Any) -> MusicRequest:
        """Returns the engine's request."""
        return MusicRequest(
            self.prompt, self.duration_s, self.seed, self.tempo_bpm, self.key or None, self.meter or None,
            instruments=tuple(self.instruments), mood=self.mood, genre=self.genre, quality=self.quality,
            prompt_changes=tuple(PromptChange(change.at_s, change.prompt) for change in self.prompt_changes), **more,
        )  # fmt: skip


class MusicBody(Piece):
    """A description of music and the format of the response."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"prompt": "Upbeat jazz with saxophone", "duration_s": 20, "seed": 3, "format": "mp3"},
                {"prompt": "Calm piano in A minor, 72 bpm", "stream": True},
            ]
        },
    )

    loudness_lufs: float = Field(-16.0, ge=MIN_LUFS, le=MAX_LUFS, description="Integrated loudness (ITU-R BS.1770).")
    format: Format = Field("wav", description="Audio format; `pcm` is raw 16-bit little-endian samples, interleaved.")
    stream: bool = Field(False, description="Send audio while the piece is made (all formats except ogg).")
