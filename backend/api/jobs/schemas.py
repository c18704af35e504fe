"""Request and response schemas of `/jobs`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from typing import Any, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field

from backend.api.request_parsing import RequestModel, content_type, parse, read_form, read_json, unsupported_media_type
from backend.api.speech.request import bounded
from backend.errors import BadRequest
from backend.pipeline.longform.audiobook import BOOK_FORMATS
from backend.pipeline.longform.job_service import MAX_TAKE_CHARS, MAX_TITLE_CHARS
from backend.runtime.request import BOUNDS, MAX_VOICE_CHARS
from backend.storage.job_models import ChapterRecord, JobRecord, JobState, SentenceRecord, SpeechParams, TakeRecord
from backend.text.documents.reader import DocumentKind

BookFormat = Literal["m4b", "mp3", "opus", "wav", "flac"]
DEFAULTS = SpeechParams()


class NewJobBody(RequestModel):
    """A job for a book or an article. Omitted or null fields use the defaults of the checkpoint."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"text": "# One\n\nHello.\n\n# Two\n\nGoodbye.", "seed": 7}]}
    )

    text: str | None = Field(
        None, min_length=1, pattern=r"\S", description="The text; alternatively upload a `document` in a form."
    )
    kind: DocumentKind = Field("auto", description="Type of the text or document; `auto` detects it.")
    format: BookFormat = Field("m4b", description="Audio format; m4b has chapters.")
    title: str = Field("", max_length=MAX_TITLE_CHARS, description="Overrides the title of the document.")
    author: str = Field("", max_length=MAX_TITLE_CHARS, description="Overrides the author of the document.")
    voice: str | None = Field(
        None, min_length=1, max_length=MAX_VOICE_CHARS, description="Voice id from `GET /voices`."
    )
    seed: int | None = bounded("seed", "The same seed reproduces the same audio; each sentence derives its own seed.")
    temperature: float | None = bounded("temperature", "0 always picks the most likely code.")
    top_p: float | None = bounded(
        "top_p", "Nucleus sampling: keep the most likely codes with this total probability."
    )  # fmt: skip
    top_k: int | None = bounded("top_k", "Keep this many of the most likely codes.")
    min_p: float | None = bounded("min_p", "Drop codes below this fraction of the highest probability.")
    repetition_penalty: float | None = bounded("repetition_penalty", "Values above 1 make recent codes less likely.")
    normalize: bool = Field(DEFAULTS.normalize, description="Expand numbers, dates and similar into words.")
    speed: float = bounded("speed", "2 halves the duration at the same pitch.")
    loudness_lufs: float | None = Field(
        DEFAULTS.loudness_lufs, ge=BOUNDS["loudness_lufs"][0], le=BOUNDS["loudness_lufs"][1],
        description="Normalize every sentence to this loudness; null turns that off.",
    )  # fmt: skip

    @classmethod
    def null_fields(cls) -> set[str]:
        return {"loudness_lufs"}

    def to_speech_params(self) -> SpeechParams:
        return SpeechParams(**{field.name: getattr(self, field.name) for field in fields(SpeechParams)})


class NewTakeBody(RequestModel):
    """Parameters of another take of a sentence."""

    model_config = ConfigDict(extra="forbid")

    seed: int | None = bounded("seed", "Seed of the take; random by default.")
    text: str | None = Field(
        None, min_length=1, max_length=MAX_TAKE_CHARS, pattern=r"\S", description="New text of the sentence."
    )
    wait: bool = Field(True, description="Respond when the take is done; false responds at once.")


class ChoiceBody(RequestModel):
    """The take to choose."""

    model_config = ConfigDict(extra="forbid")

    take: int = Field(ge=0)


class TakeBody(BaseModel):
    """One take of a sentence."""

    take: int
    text: str
    seed: int
    state: Literal["waiting", "speaking", "done", "skipped"]
    reason: str = Field(description="Reason for skipping it.")
    duration_s: float
    finish_reason: str = Field(description="`length` or `repetition` if it was truncated.")


class SentenceBody(BaseModel):
    """A sentence with the fields of its chosen take."""

    index: int
    chapter: int
    text: str
    state: Literal["waiting", "speaking", "done", "skipped"]
    reason: str
    seed: int
    take: int = Field(description="Index of the chosen take.")
    duration_s: float
    finish_reason: str
    pause_s: float = Field(description="Silence after it.")
    takes: list[TakeBody]


class ChapterBody(BaseModel):
    """A chapter; `start_s` is its position in the file, null until the file exists."""

    title: str
    start_s: float | None


class JobBody(BaseModel):
    """The current state of a job."""

    id: str
    created_at: str
    updated_at: str
    state: JobState
    reason: str = Field(description="Reason for a pause or failure.")
    title: str
    author: str
    left_out: list[str] = Field(description="What the document holds and the job does not read, in sentences.")
    format: str
    voice: str | None
    seed: int
    revision: int = Field(description="Increases with every change.")
    n_sentences: int
    n_done: int = Field(description="Sentences that are done or skipped.")
    audio_s: float = Field(description="Seconds of audio generated so far, without pauses.")
    file_bytes: int = Field(description="Size of the finished file, 0 before that.")
    file_audio_s: float


class WholeJobBody(JobBody):
    """A job with its chapters and sentences."""

    chapters: list[ChapterBody]
    sentences: list[SentenceBody]


class JobList(BaseModel):
    """Response of `GET /jobs`, newest first."""

    jobs: list[JobBody]


async def read_new_job(request: Request) -> tuple[NewJobBody, bytes]:
    """Returns the validated body of `POST /jobs` and its document. Raises `BadRequest`, or 415 for another type."""
    kind = content_type(request)
    document = b""
    if kind == "application/json":
        body = await read_json(request, NewJobBody)
    elif kind == "multipart/form-data":
        form = await read_form(request, files=("document",))
        document = form.pop("document", b"")
        body = parse(NewJobBody, form)
    else:
        raise unsupported_media_type(kind, "application/json", "multipart/form-data")
    if bool(document) == (body.text is not None):
        raise BadRequest("Expected either a text or an uploaded document. Send one of them.")
    return body, document or str(body.text).encode()


def form_schema() -> dict[str, Any]:
    schema = NewJobBody.model_json_schema()
    schema["properties"]["document"] = {
        "type": "string", "format": "binary", "description": "A plain text, Markdown, HTML or EPUB file.",
    }  # fmt: skip
    del schema["examples"]
    schema["title"] = "NewJobForm"
    return schema


def job_fields(job: JobRecord) -> dict[str, Any]:
    names = [name for name in JobBody.model_fields if name not in ("voice", "file_bytes", "file_audio_s")]
    # While the file is being rewritten it cannot be downloaded.
    is_whole = job.state == "done"
    return {name: getattr(job, name) for name in names} | {
        "left_out": list(job.left_out), "voice": job.delivery.voice, "file_bytes": job.file_bytes if is_whole else 0,
        "file_audio_s": job.file_audio_s if is_whole else 0.0,
    }  # fmt: skip


def sentence_body(sentence: SentenceRecord, speaking: Collection[tuple[int, int]]) -> SentenceBody:
    takes = [take_body(take, sentence.index, speaking) for take in sentence.takes]
    chosen = takes[sentence.chosen]
    return SentenceBody(
        index=sentence.index, chapter=sentence.chapter, pause_s=sentence.pause_s, takes=takes, **chosen.model_dump()
    )


def take_body(take: TakeRecord, sentence: int, speaking: Collection[tuple[int, int]]) -> TakeBody:
    state = "speaking" if take.state == "waiting" and (sentence, take.take) in speaking else take.state
    return TakeBody(
        take=take.take, text=take.text, seed=take.seed, state=state, reason=take.reason, duration_s=take.duration_s,
        finish_reason=take.finish_reason,
    )  # fmt: skip


def chapter_body(chapter: ChapterRecord) -> ChapterBody:
    return ChapterBody(title=chapter.title, start_s=chapter.start_s)


assert set(BOOK_FORMATS) <= set(BookFormat.__args__), "BookFormat lacks a writable format"  # type: ignore[attr-defined]
