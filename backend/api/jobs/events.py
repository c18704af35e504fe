"""A job as server-sent events: first as it stands, then every change, until it has ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from backend.api.engine_host import EngineHost
from backend.api.jobs.schemas import job_fields, sentence_body
from backend.errors import UnknownJob
from backend.pipeline.longform.job_service import JobService
from backend.storage.job_models import JobRecord

ENDED = ("done", "cancelled", "failed")
LOOK_EVERY_S = 0.25
# A connection on which nothing is sent is cut off by what stands in between.
BEAT_EVERY_S = 15.0
MAX_SENTENCES = 500


async def job_events(host: EngineHost, desk: JobService, job: JobRecord, since: int) -> AsyncIterator[str]:
    """Events `job` and `sentence` after revision `since`; the id of a `job` event is its revision.

    Each `job` event follows the sentences that changed up to its revision, so a client that comes back with the last
    id misses nothing; the first one comes at once.
    """
    revision, waited_s = since, BEAT_EVERY_S
    found: JobRecord = job
    while True:
        if found.revision > revision or waited_s >= BEAT_EVERY_S:
            first, changed = 0, True
            # Read after the job, so that no change between the two is passed over.
            while changed:
                part = await host.run(desk.sentences, job.id, first, MAX_SENTENCES, revision)
                speaking = desk.speaking(job.id)
                for sentence in part:
                    yield event("sentence", sentence_body(sentence, speaking).model_dump(), None)
                changed = len(part) == MAX_SENTENCES
                first = part[-1].index + 1 if part else 0
            yield event("job", job_fields(found), found.revision)
            revision, waited_s = found.revision, 0.0
        if found.state in ENDED or host.is_stopping:
            return
        await asyncio.sleep(LOOK_EVERY_S)
        waited_s += LOOK_EVERY_S
        try:
            found = await host.run(desk.job, job.id)
        except UnknownJob:
            yield event("deleted", {"id": job.id}, None)
            return


def event(kind: str, content: dict[str, Any], number: int | None) -> str:
    """One event as it is sent."""
    name = "" if number is None else f"id: {number}\n"
    return f"{name}event: {kind}\ndata: {json.dumps({'type': kind, **content}, ensure_ascii=False)}\n\n"
