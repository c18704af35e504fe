"""Request bodies as msgpack, JSON or a form, and responses as msgpack or JSON, for fish clients."""

from __future__ import annotations

import base64
import json
from typing import Any, TypeVar

import msgpack
from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from backend.api.request_parsing import (
    content_type,
    parse,
    parse_off_loop,
    read_form,
    read_json,
    unsupported_media_type,
)
from backend.errors import BadRequest

Model = TypeVar("Model", bound=BaseModel)

MSGPACK = "application/msgpack"
MSGPACK_TYPES = (MSGPACK, "application/x-msgpack", "application/vnd.msgpack")


async def read_packed(
    request: Request, model: type[Model], files: tuple[str, ...] = (), lists: tuple[str, ...] = ()
) -> Model:
    """Returns the body as a `model`. Raises `BadRequest` with all invalid fields, or 415 for another content type.

    `files` and `lists` apply to forms, as in `read_form`.
    """
    kind = content_type(request)
    if kind == "application/json":
        return await read_json(request, model)
    if kind in MSGPACK_TYPES:
        return await parse_off_loop(request, _parse_packed, model, await request.body())
    if kind == "multipart/form-data":
        return parse(model, await read_form(request, files, lists))
    raise unsupported_media_type(kind, "application/json", MSGPACK, "multipart/form-data")


def _parse_packed(model: type[Model], content: bytes) -> Model:
    return parse(model, unpacked(content))


def unpacked(content: bytes) -> dict[str, Any]:
    """Returns the map in a msgpack body. Raises `BadRequest` for anything else and for excessive nesting."""
    try:
        # msgpack rejects lengths beyond the body, whose size was limited while it was read.
        fields = msgpack.unpackb(content, raw=False, strict_map_key=True)
    except (msgpack.UnpackException, ValueError, TypeError, OverflowError) as error:
        raise BadRequest(
            f"The body is not valid msgpack ({type(error).__name__}); expected one map. Encode it again."
        ) from None
    if not isinstance(fields, dict):
        raise BadRequest(f"The body is a {type(fields).__name__}; expected a msgpack map of fields.")
    return fields


def packed(request: Request, content: dict[str, Any], status: int = 200) -> Response:
    """Returns a msgpack response, or JSON with bytes in base64 for `?format=json` or `Accept: application/json`."""
    if wants_json(request):
        return JSONResponse(json.loads(json.dumps(content, default=_to_base64)), status)
    return Response(msgpack.packb(content), status, media_type=MSGPACK)


def wants_json(request: Request) -> bool:
    format = request.query_params.get("format")
    return format == "json" or (format is None and "application/json" in request.headers.get("accept", ""))


def _to_base64(value: Any) -> str:
    assert isinstance(value, bytes), type(value)
    return base64.b64encode(value).decode()
