"""`/jobs`: books and articles spoken in the background, reviewed sentence by sentence."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from backend.api.engine_host import host_of
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
from backend.pipeline.longform.job_service import JobService

router = APIRouter(tags=["jobs"])

JobId = Annotated[str, Path(max_length=64, description="An id of `GET /jobs`.")]
SentenceIndex = Annotated[int, Path(ge=0, le=10**9)]
MAX_SENTENCES = 1_000_000
TAKE_WAIT_S = 300.0
LOOK_EVERY_S = 0.1
UNSAFE = re.compile(r"[^\w .,()'-]+")

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
        "description": "`sentence` and `job` events; the data of each is what `GET /jobs/{id}` says of it.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
BINARY = {"schema": {"type": "string", "format": "binary"}}
SOUND: dict[int | str, dict[str, Any]] = {200: {"content": {"audio/flac": BINARY}}}
FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": dict.fromkeys(sorted({MEDIA_TYPES[format] for format in BOOK_FORMATS}), BINARY)}
}


def job_service_of(request: Request) -> JobService:
    return request.app.state.jobs


@router.post("/jobs", status_code=201, responses=documented(404, 409, 413, 415, 503, 507), openapi_extra=NEW_JOB)
async def create_job(request: Request) -> JobBody:
    """Have a book or an article spoken. Once this answers, the job survives a crash of the server."""
    body, document = await read_new_job(request)
    host, desk = host_of(request), job_service_of(request)

    def create() -> JobBody:
        job = desk.create(
            document, body.kind, format=body.format, delivery=body.to_speech_params(), seed=body.seed, title=body.title,
            author=body.author,
        )  # fmt: skip
        return JobBody(**job_fields(job))

    return await host.run(create)


@router.get("/jobs")
async def jobs(request: Request) -> JobList:
    """List the jobs, newest first."""
    found = await host_of(request).run(job_service_of(request).jobs)
    return JobList(jobs=[JobBody(**job_fields(job)) for job in found])


@router.get("/jobs/{job_id}", responses=documented(404))
async def job(
    request: Request, job_id: JobId,
    first: Annotated[int, Query(ge=0, le=MAX_SENTENCES, description="The first sentence to list.")] = 0,
    limit: Annotated[int, Query(ge=0, le=MAX_SENTENCES, description="How many to list.")] = MAX_SENTENCES,
) -> WholeJobBody:  # fmt: skip
    """A job with its chapters and sentences."""
    desk = job_service_of(request)

    def read() -> WholeJobBody:
        found, speaking = desk.job(job_id), desk.speaking(job_id)
        return WholeJobBody(
            **job_fields(found), chapters=[chapter_body(one) for one in desk.chapters(job_id)],
            sentences=[sentence_body(one, speaking) for one in desk.sentences(job_id, first, limit)],
        )  # fmt: skip

    return await host_of(request).run(read)


@router.get("/jobs/{job_id}/events", response_class=StreamingResponse, responses={**EVENTS, **documented(404)})
async def events(
    request: Request, job_id: JobId, last_event_id: Annotated[str, Header(max_length=32)] = ""
) -> StreamingResponse:
    """Follow a job as server-sent events until it has ended. A client that comes back misses nothing."""
    host, desk = host_of(request), job_service_of(request)
    found = await host.run(desk.job, job_id)
    since = int(last_event_id) if last_event_id.isascii() and last_event_id.isdigit() else 0
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(job_events(host, desk, found, since), media_type="text/event-stream", headers=headers)


@router.post("/jobs/{job_id}/pause", responses=documented(404, 409, 507))
async def pause(request: Request, job_id: JobId) -> JobBody:
    """Stop after the sentences that are being spoken."""
    return JobBody(**job_fields(await host_of(request).run(job_service_of(request).pause, job_id)))


@router.post("/jobs/{job_id}/resume", responses=documented(404, 409, 503, 507))
async def resume(request: Request, job_id: JobId) -> JobBody:
    """Go on where it stopped."""
    return JobBody(**job_fields(await host_of(request).run(job_service_of(request).resume, job_id)))


@router.post("/jobs/{job_id}/cancel", responses=documented(404, 409, 507))
async def cancel(request: Request, job_id: JobId) -> JobBody:
    """Stop at once and for good. What was spoken stays until the job is deleted."""
    return JobBody(**job_fields(await host_of(request).run(job_service_of(request).cancel, job_id)))


@router.delete("/jobs/{job_id}", status_code=204, response_class=Response, responses=documented(404, 507))
async def delete(request: Request, job_id: JobId) -> Response:
    """Remove a job, its file, and every sound no other job shares."""
    await host_of(request).run(job_service_of(request).delete, job_id)
    return Response(status_code=204)


@router.get("/jobs/{job_id}/audio", response_class=FileResponse, responses={**FILE, **documented(404, 409, 416)})
async def audio(request: Request, job_id: JobId) -> FileResponse:
    """The finished sound file."""
    desk = job_service_of(request)
    path = await host_of(request).run(desk.file, job_id)
    found = await host_of(request).run(desk.job, job_id)
    name = UNSAFE.sub("", found.title).strip(" .")[:100] or "book"
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}.{found.format}"}
    return FileResponse(path, media_type=MEDIA_TYPES[found.format], headers=headers)


@router.get(
    "/jobs/{job_id}/sentences/{index}/audio", response_class=FileResponse,
    responses={**SOUND, **documented(404, 409, 416)},
)  # fmt: skip
async def sentence_audio(
    request: Request, job_id: JobId, index: SentenceIndex,
    take: Annotated[int | None, Query(ge=0, le=10**6, description="The chosen one if left out.")] = None,
) -> FileResponse:  # fmt: skip
    """One take of a sentence as a FLAC file."""
    path = await host_of(request).run(job_service_of(request).sound, job_id, index, take)
    return FileResponse(path, media_type="audio/flac")


@router.post("/jobs/{job_id}/sentences/{index}/takes", status_code=201, responses=documented(404, 409, 415, 503, 507))
async def new_take(request: Request, job_id: JobId, index: SentenceIndex, body: NewTakeBody) -> TakeBody:
    """Speak a sentence once more, before all that waits. The chosen take stays chosen."""
    host, desk = host_of(request), job_service_of(request)
    take = await host.run(desk.new_take, job_id, index, body.seed, body.text)
    until_s = time.monotonic() + (TAKE_WAIT_S if body.wait else 0.0)
    while take.state == "waiting" and time.monotonic() < until_s and not await request.is_disconnected():
        await asyncio.sleep(LOOK_EVERY_S)
        take = await host.run(desk.take, job_id, index, take.take)
    return take_body(take, index, desk.speaking(job_id))


@router.post("/jobs/{job_id}/sentences/{index}/choose", responses=documented(404, 409, 415, 507))
async def choose(request: Request, job_id: JobId, index: SentenceIndex, body: ChoiceBody) -> SentenceBody:
    """Let another take be heard; an older one again undoes that. A finished file is written anew."""
    desk = job_service_of(request)
    found = await host_of(request).run(desk.choose, job_id, index, body.take)
    return sentence_body(found, desk.speaking(job_id))
