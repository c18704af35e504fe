"""`GET /ready`: can the server speak right now? Unlike `/health`, which only says that it runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from backend.api.engine_host import host_of

router = APIRouter(tags=["system"])


class Readiness(BaseModel):
    """The answer of `GET /ready`."""

    ready: bool
    loading: bool = Field(default=False, description="True while waiting helps.")
    message: str
    engine: dict[str, Any] | None = Field(
        default=None,
        description="What the engine says of itself; left out on a server with a key, where /metrics tells.",
    )


@router.get("/ready", responses={503: {"model": Readiness, "description": "Not able to speak, and why."}})
async def ready(request: Request, response: Response) -> Readiness:
    """Answer 200 when a text can be spoken now, else 503 with the reason. Never needs a key."""
    host = host_of(request)
    reason = host.missing
    if reason is not None:
        response.status_code = 503
        return Readiness(ready=False, loading=host.is_loading, message=reason)
    status = await host.run(host.engine.status)
    # The path is open to everyone: who sets a key does not mean to tell strangers about the machine.
    is_private = bool(request.app.state.settings.api_key)
    return Readiness(ready=True, message="Ready to speak.", engine=None if is_private else asdict(status))
