"""`POST /cache/clear`: forget what was kept for reuse."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from backend.api.engine_host import host_of
from backend.api.errors import documented

router = APIRouter(tags=["system"])


class Cleared(BaseModel):
    """The answer of `POST /cache/clear`."""

    cleared: dict[str, int] = Field(description="Entries that were forgotten, by cache.")


@router.post("/cache/clear", responses=documented(503))
async def clear(request: Request) -> Cleared:
    """Empty every cache; the next requests are slower and no different."""
    host = host_of(request)
    return Cleared(cleared=await host.run(host.engine.clear_caches))
