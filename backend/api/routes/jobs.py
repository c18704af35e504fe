"""`/jobs`: long-form jobs that synthesize books and articles in the background."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from backend.api.dependencies import Host, Jobs
from backend.api.errors import documented
from backend.api.jobs.events import job_events
from backend.api.jobs.schemas import (
    ChoiceBody,
    JobBody,
    JobList,
    NewJobBody,
    NewTakeBody,
    SentenceBody,
    TakeBody,
    WholeJobBody,
    chapter_body,
    form_schema,
    job_fields,
    read_new_job,
    sentence_body,
    take_body,
)
from backend.api.speech.response import MEDIA_TYPES
from backend.pipeline.longform.audiobook import BOOK_FORMATS

router = APIRouter(tags=["jobs"])

JobId = Annotated[str, Path(max_length=64, description="Job id from `GET /jobs`.")]
SentenceIndex = Annotated[int, Path(ge=0, le=10**9)]
MAX_SENTENCES = 1_000_000
TAKE_WAIT_S = 300.0
POLL_INTERVAL_S = 0.1
UNSAFE_CHARS = re.compile(r"[^\w .,()'-]+")

NEW_JOB = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": NewJobBody.model_json_schema()},
            "multipart/form-data": {"schema": form_schema()},
        },
    }
}
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`sentence` and `job` events, with the fields of `GET /jobs/{id}`.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
BINARY = {"schema": {"type": "string", "format": "binary"}}
AUDIO: dict[int | str, dict[str, Any]] = {200: {"content": {"audio/flac": BINARY}}}
FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": dict.fromkeys(sorted({MEDIA_TYPES[format] for format in BOOK_FORMATS}), BINARY)}
}


@router.post("/jobs", status_code=201, responses=documented(404, 409, 413, 415, 503, 507), openapi_extra=NEW_JOB)
async def create_job(request: Request, host: Host, service: Jobs) -> JobBody:
    """Create a job for a book or an article. Created jobs survive a crash of the server."""
    body, document = await read_new_job(request)

    def create() -> JobBody:
        job = service.create(
            document, body.kind, format=body.format, delivery=body.to_speech_params(), seed=body.seed, title=body.title,
            author=body.author,
        )  # fmt: skip
        return JobBody(**job_fields(job))

    return await host.run(create)


@router.get("/jobs")
async def jobs(host: Host, service: Jobs) -> JobList:
    """List the jobs, newest first."""
    records = await host.run(service.jobs)
    return JobList(jobs=[JobBody(**job_fields(record)) for record in records])


@router.get("/jobs/{job_id}", responses=documented(404))
async def job(
    host: Host, service: Jobs, job_id: JobId,
    first: Annotated[int, Query(ge=0, le=MAX_SENTENCES, description="Index of the first sentence.")] = 0,
    limit: Annotated[int, Query(ge=0, le=MAX_SENTENCES, description="Maximum number of sentences.")] = MAX_SENTENCES,
) -> WholeJobBody:  # fmt: skip
    """Return a job with its chapters and sentences."""

    def read() -> WholeJobBody:
        record, speaking = service.job(job_id), service.speaking(job_id)
        return WholeJobBody(
            **job_fields(record), chapters=[chapter_body(chapter) for chapter in service.chapters(job_id)],
            sentences=[sentence_body(sentence, speaking) for sentence in service.sentences(job_id, first, limit)],
        )  # fmt: skip

    return await host.run(read)


@router.get("/jobs/{job_id}/events", response_class=StreamingResponse, responses={**EVENTS, **documented(404)})
async def events(
    host: Host, service: Jobs, job_id: JobId, last_event_id: Annotated[str, Header(max_length=32)] = ""
) -> StreamingResponse:
    """Stream the changes of a job as server-sent events until it ends. `Last-Event-ID` resumes without gaps."""
    record = await host.run(service.job, job_id)
    since = int(last_event_id) if last_event_id.isascii() and last_event_id.isdigit() else 0
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(job_events(host, service, record, since), media_type="text/event-stream", headers=headers)


@router.post("/jobs/{job_id}/pause", responses=documented(404, 409, 507))
async def pause(host: Host, service: Jobs, job_id: JobId) -> JobBody:
    """Pause a job after the sentences in progress."""
    return JobBody(**job_fields(await host.run(service.pause, job_id)))


@router.post("/jobs/{job_id}/resume", responses=documented(404, 409, 503, 507))
async def resume(host: Host, service: Jobs, job_id: JobId) -> JobBody:
    """Resume a job where it stopped."""
    return JobBody(**job_fields(await host.run(service.resume, job_id)))


@router.post("/jobs/{job_id}/cancel", responses=documented(404, 409, 507))
async def cancel(host: Host, service: Jobs, job_id: JobId) -> JobBody:
    """Cancel a job at once. Its audio stays until the job is deleted."""
    return JobBody(**job_fields(await host.run(service.cancel, job_id)))


@router.delete("/jobs/{job_id}", status_code=204, response_class=Response, responses=documented(404, 507))
async def delete(host: Host, service: Jobs, job_id: JobId) -> Response:
    """Delete a job with its file and all audio that no other job shares."""
    await host.run(service.delete, job_id)
    return Response(status_code=204)


@router.get("/jobs/{job_id}/audio", response_class=FileResponse, responses={**FILE, **documented(404, 409, 416)})
async def audio(host: Host, service: Jobs, job_id: JobId) -> FileResponse:
    """Return the finished audio file."""
    path = await host.run(service.file, job_id)
    record = await host.run(service.job, job_id)
    name = UNSAFE_CHARS.sub("", record.title).strip(" .")[:100] or "book"
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}.{record.format}"}
    return FileResponse(path, media_type=MEDIA_TYPES[record.format], headers=headers)


@router.get(
    "/jobs/{job_id}/sentences/{index}/audio", response_class=FileResponse,
    responses={**AUDIO, **documented(404, 409, 416)},
)  # fmt: skip
async def sentence_audio(
    host: Host, service: Jobs, job_id: JobId, index: SentenceIndex,
    take: Annotated[int | None, Query(ge=0, le=10**6, description="Index of the take; default: the chosen one.")] = None,
) -> FileResponse:  # fmt: skip
    """Return one take of a sentence as a FLAC file."""
    path = await host.run(service.sound, job_id, index, take)
    return FileResponse(path, media_type="audio/flac")


@router.post("/jobs/{job_id}/sentences/{index}/takes", status_code=201, responses=documented(404, 409, 415, 503, 507))
async def new_take(
    request: Request, host: Host, service: Jobs, job_id: JobId, index: SentenceIndex, body: NewTakeBody
) -> TakeBody:
    """Generate another take of a sentence, ahead of the queue. The chosen take does not change."""
    take = await host.run(service.new_take, job_id, index, body.seed, body.text)
    deadline_s = time.monotonic() + (TAKE_WAIT_S if body.wait else 0.0)
    while take.state == "waiting" and time.monotonic() < deadline_s and not await request.is_disconnected():
        await asyncio.sleep(POLL_INTERVAL_S)
        take = await host.run(service.take, job_id, index, take.take)
    return take_body(take, index, service.speaking(job_id))


@router.post("/jobs/{job_id}/sentences/{index}/choose", responses=documented(404, 409, 415, 507))
async def choose(host: Host, service: Jobs, job_id: JobId, index: SentenceIndex, body: ChoiceBody) -> SentenceBody:
    """Choose the take of a sentence that goes into the file. A finished file is written again."""
    sentence = await host.run(service.choose, job_id, index, body.take)
    return sentence_body(sentence, service.speaking(job_id))
