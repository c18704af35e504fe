"""Server-sent events of a job: its current state, then every change until it ends."""

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
POLL_INTERVAL_S = 0.25
# Proxies close connections that send nothing.
HEARTBEAT_S = 15.0
MAX_SENTENCES = 500


async def job_events(host: EngineHost, service: JobService, job: JobRecord, since: int) -> AsyncIterator[str]:
    """Yields `job` and `sentence` events after revision `since`; the id of a `job` event is its revision.

    Each `job` event follows the sentences that changed up to its revision, so a client that reconnects with the last
    id misses nothing. The first one is sent at once.
    """
    revision, waited_s = since, HEARTBEAT_S
    record: JobRecord = job
    while True:
        if record.revision > revision or waited_s >= HEARTBEAT_S:
            first, changed = 0, True
            # Read after the job, so that no change between the two is missed.
            while changed:
                part = await host.run(service.sentences, job.id, first, MAX_SENTENCES, revision)
                speaking = service.speaking(job.id)
                for sentence in part:
                    yield event("sentence", sentence_body(sentence, speaking).model_dump(), None)
                changed = len(part) == MAX_SENTENCES
                first = part[-1].index + 1 if part else 0
            yield event("job", job_fields(record), record.revision)
            revision, waited_s = record.revision, 0.0
        if record.state in ENDED or host.is_stopping:
            return
        await asyncio.sleep(POLL_INTERVAL_S)
        waited_s += POLL_INTERVAL_S
        try:
            record = await host.run(service.job, job.id)
        except UnknownJob:
            yield event("deleted", {"id": job.id}, None)
            return


def event(kind: str, content: dict[str, Any], number: int | None) -> str:
    """Returns one serialized event."""
    name = "" if number is None else f"id: {number}\n"
    return f"{name}event: {kind}\ndata: {json.dumps({'type': kind, **content}, ensure_ascii=False)}\n\n"
