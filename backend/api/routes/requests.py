"""`GET /requests`: the speeches that were asked for last."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from backend.api.request_history import MOST_KEPT, RecentSpeeches

router = APIRouter(tags=["system"])


class SpeechRow(BaseModel):
    """One speech; times in seconds as a client measures them."""

    id: str = Field(description="`X-Request-Id` of the answer, and of the request's lines in the log.")
    at: str = Field(description="When it came in.")
    door: str = Field(description="The route it came through.")
    voice: str | None
    n_chars: int
    status: str = Field(description="`done`, `cancelled`, `failed` or `refused`.")
    finish: str | None = Field(description="Why the speech ended.")
    audio_s: float
    first_audio_s: float = Field(description="Until the first sound left the server.")
    total_s: float
    rtf: float = Field(description="Seconds per second of sound.")
    queue_s: float = Field(description="Waiting for a place.")
    underrun_s: float = Field(description="Silence of a listener who played each piece as it came.")


class RecentTable(BaseModel):
    """The answer of `GET /requests`."""

    requests: list[SpeechRow]


@router.get("/requests")
async def requests(
    request: Request, limit: Annotated[int, Query(ge=1, le=MOST_KEPT, description="How many, newest first.")] = 50
) -> RecentTable:
    """The last speeches, newest first. Their texts are not kept."""
    recent: RecentSpeeches = request.app.state.recent
    return RecentTable(requests=[SpeechRow(**asdict(row)) for row in recent.newest(limit)])
