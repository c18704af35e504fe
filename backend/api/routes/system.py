"""`GET /metrics`: what the server has done so far."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from backend.api.engine_host import host_of
from backend.api.metrics import Measures

router = APIRouter(tags=["system"])

CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"description": "All measures.", "content": {"text/plain": {}, "application/json": {}}}
}


@router.get("/metrics", response_class=Response, responses=CONTENT)
async def metrics(
    request: Request,
    format: Annotated[Literal["prometheus", "json"] | None, Query(description="Wins over the Accept header.")] = None,
) -> Response:
    """The text format of Prometheus, or JSON with `?format=json` or `Accept: application/json`."""
    measures: Measures = request.app.state.measures
    host = host_of(request)
    is_json = format == "json" or (format is None and "application/json" in request.headers.get("accept", ""))

    def told() -> Response:
        status = None if host.missing else host.engine.status()
        if is_json:
            return JSONResponse({**measures.as_json(), "engine": None if status is None else asdict(status)})
        return Response(measures.as_text(status), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return await host.run(told)
