"""What goes in and out of `/jobs`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from typing import Any, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field

from backend.api.request_parsing import content_type, parse, read_form, read_json, unsupported
from backend.api.speech.request import bounded
from backend.errors import BadRequest
from backend.pipeline.longform.audiobook import BOOK_FORMATS
from backend.pipeline.longform.job_service import MAX_TAKE_CHARS, MAX_TITLE_CHARS
from backend.runtime.request import BOUNDS, MAX_VOICE_CHARS
from backend.storage.job_models import ChapterRecord, JobRecord, JobState, SentenceRecord, SpeechParams, TakeRecord
from backend.text.documents.reader import DocumentKind

BookFormat = Literal["m4b", "mp3", "opus", "wav", "flac"]
DEFAULTS = SpeechParams()


class NewJobBody(BaseModel):
    """A book or an article to be spoken. A field left out, or null, is left to the checkpoint."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"text": "# One\n\nHello.\n\n# Two\n\nGoodbye.", "seed": 7}]}
    )

    text: str | None = Field(
        None, min_length=1, pattern=r"\S", description="The text; or upload a `document` in a form."
    )
    kind: DocumentKind = Field("auto", description="What the text or document is; `auto` looks at it.")
    format: BookFormat = Field("m4b", description="File format; m4b carries chapters.")
    title: str = Field("", max_length=MAX_TITLE_CHARS, description="Instead of the document's own.")
    author: str = Field("", max_length=MAX_TITLE_CHARS, description="Instead of the document's own.")
    voice: str | None = Field(None, min_length=1, max_length=MAX_VOICE_CHARS, description="An id of `GET /voices`.")
    seed: int | None = bounded("seed", "The same seed gives the same book; every sentence gets its own from it.")
    temperature: float | None = bounded("temperature", "0 always takes the likeliest code.")
    top_p: float | None = bounded("top_p", "Choose among the likeliest codes of this mass.")
    top_k: int | None = bounded("top_k", "Choose among this many likeliest codes.")
    min_p: float | None = bounded("min_p", "Drop codes below this share of the likeliest.")
    repetition_penalty: float | None = bounded("repetition_penalty", "Above 1 avoids recent codes.")
    normalize: bool = Field(DEFAULTS.normalize, description="Read numbers, dates and the like as words.")
    speed: float = bounded("speed", "2 speaks in half the time, at the same pitch.")
    loudness_lufs: float | None = Field(
        DEFAULTS.loudness_lufs, ge=BOUNDS["loudness_lufs"][0], le=BOUNDS["loudness_lufs"][1],
        description="Bring every sentence to this loudness; null leaves it.",
    )  # fmt: skip

    def to_speech_params(self) -> SpeechParams:
        return SpeechParams(**{field.name: getattr(self, field.name) for field in fields(SpeechParams)})


class NewTakeBody(BaseModel):
    """How to speak a sentence once more."""

    model_config = ConfigDict(extra="forbid")

    seed: int | None = bounded("seed", "Another seed gives another take; one is chosen if left out.")
    text: str | None = Field(
        None, min_length=1, max_length=MAX_TAKE_CHARS, pattern=r"\S", description="Other words, if they should change."
    )
    wait: bool = Field(True, description="Answer when it is spoken; false answers at once.")


class ChoiceBody(BaseModel):
    """Which take is heard from now on."""

    model_config = ConfigDict(extra="forbid")

    take: int = Field(ge=0)


class TakeBody(BaseModel):
    """One way a sentence was or will be spoken."""

    take: int
    text: str
    seed: int
    state: Literal["waiting", "speaking", "done", "skipped"]
    reason: str = Field(description="Why it was skipped.")
    duration_s: float
    finish_reason: str = Field(description="`length` or `repetition` if it was cut off.")


class SentenceBody(BaseModel):
    """A sentence as it is heard: the fields are those of its chosen take."""

    index: int
    chapter: int
    text: str
    state: Literal["waiting", "speaking", "done", "skipped"]
    reason: str
    seed: int
    take: int = Field(description="The chosen one of `takes`.")
    duration_s: float
    finish_reason: str
    pause_s: float = Field(description="Silence after it.")
    takes: list[TakeBody]


class ChapterBody(BaseModel):
    """A chapter; `start_s` is its place in the file, null until there is one."""

    title: str
    start_s: float | None


class JobBody(BaseModel):
    """A job as it stands."""

    id: str
    created_at: str
    updated_at: str
    state: JobState
    reason: str = Field(description="Why it is paused or failed.")
    title: str
    author: str
    format: str
    voice: str | None
    seed: int
    revision: int = Field(description="Grows with every change.")
    n_sentences: int
    n_done: int = Field(description="Sentences that are spoken or skipped.")
    audio_s: float = Field(description="Sound spoken so far, pauses left out.")
    file_bytes: int = Field(description="Size of the finished file; 0 while there is none.")
    file_audio_s: float


class WholeJobBody(JobBody):
    """A job with its chapters and sentences."""

    chapters: list[ChapterBody]
    sentences: list[SentenceBody]


class JobList(BaseModel):
    """The answer of `GET /jobs`, newest first."""

    jobs: list[JobBody]


async def read_new_job(request: Request) -> tuple[NewJobBody, bytes]:
    """The checked body of `POST /jobs` and the document in it. Raises `BadRequest`, or 415 for another type of body."""

    kind = content_type(request)
    document = b""
    if kind == "application/json":
        body = await read_json(request, NewJobBody)
    elif kind == "multipart/form-data":
        given = await read_form(request, files=("document",))
        document = given.pop("document", b"")
        body = parse(NewJobBody, given)
    else:
        raise unsupported(kind, "application/json", "multipart/form-data")
    if bool(document) == (body.text is not None):
        raise BadRequest("Expected either a text or an uploaded document. Send one of them.")
    return body, document or str(body.text).encode()


def form_schema() -> dict[str, Any]:
    schema = NewJobBody.model_json_schema()
    schema["properties"]["document"] = {
        "type": "string", "format": "binary", "description": "A plain text, Markdown or EPUB file.",
    }  # fmt: skip
    del schema["examples"]
    schema["title"] = "NewJobForm"
    return schema


def job_fields(job: JobRecord) -> dict[str, Any]:
    names = [name for name in JobBody.model_fields if name not in ("voice", "file_bytes", "file_audio_s")]
    # A file that is being replaced is no file to fetch.
    is_whole = job.state == "done"
    return {name: getattr(job, name) for name in names} | {
        "voice": job.delivery.voice, "file_bytes": job.file_bytes if is_whole else 0,
        "file_audio_s": job.file_audio_s if is_whole else 0.0,
    }  # fmt: skip


def sentence_body(sentence: SentenceRecord, speaking: Collection[tuple[int, int]]) -> SentenceBody:
    takes = [take_body(take, sentence.index, speaking) for take in sentence.takes]
    heard = takes[sentence.chosen]
    return SentenceBody(
        index=sentence.index, chapter=sentence.chapter, pause_s=sentence.pause_s, takes=takes, **heard.model_dump()
    )


def take_body(take: TakeRecord, sentence: int, speaking: Collection[tuple[int, int]]) -> TakeBody:
    state = "speaking" if take.state == "waiting" and (sentence, take.take) in speaking else take.state
    return TakeBody(
        take=take.take, text=take.text, seed=take.seed, state=state, reason=take.reason, duration_s=take.duration_s,
        finish_reason=take.finish_reason,
    )  # fmt: skip


def chapter_body(chapter: ChapterRecord) -> ChapterBody:
    return ChapterBody(title=chapter.title, start_s=chapter.start_s)


assert set(BOOK_FORMATS) <= set(BookFormat.__args__), "a format that can be written is missing here"  # type: ignore[attr-defined]
