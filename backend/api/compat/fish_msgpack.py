"""Bodies that come as msgpack, JSON or a form, and answers as msgpack or JSON: what fish clients speak."""

from __future__ import annotations

import base64
import json
from typing import Any, TypeVar

import msgpack
from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from backend.api.request_parsing import content_type, off_loop, parse, read_form, read_json, unsupported
from backend.errors import BadRequest

Model = TypeVar("Model", bound=BaseModel)

MSGPACK = "application/msgpack"
PACKED_KINDS = (MSGPACK, "application/x-msgpack", "application/vnd.msgpack")


async def read_packed(
    request: Request, model: type[Model], files: tuple[str, ...] = (), lists: tuple[str, ...] = ()
) -> Model:
    """The body as a `model`, or `BadRequest` naming every field that is wrong; 415 for another type of body.

    `files` and `lists` are for forms, as `read_form` takes them.
    """
    kind = content_type(request)
    if kind == "application/json":
        return await read_json(request, model)
    if kind in PACKED_KINDS:
        return await off_loop(request, _parse_packed, model, await request.body())
    if kind == "multipart/form-data":
        return parse(model, await read_form(request, files, lists))
    raise unsupported(kind, "application/json", MSGPACK, "multipart/form-data")


def _parse_packed(model: type[Model], content: bytes) -> Model:
    return parse(model, unpacked(content))


def unpacked(content: bytes) -> dict[str, Any]:
    """The map that msgpack holds. Raises `BadRequest` for anything else, and for maps nested beyond reason."""
    try:
        # Lengths in it are bounded by those of the whole, which was limited while it was read.
        fields = msgpack.unpackb(content, raw=False, strict_map_key=True)
    except (msgpack.UnpackException, ValueError, TypeError, OverflowError) as error:
        raise BadRequest(f"The body is no msgpack ({type(error).__name__}); expected one map. Pack it again.") from None
    if not isinstance(fields, dict):
        raise BadRequest(f"The body holds {type(fields).__name__}; expected a msgpack map of fields.")
    return fields


def packed(request: Request, content: dict[str, Any], status: int = 200) -> Response:
    """An answer as msgpack, or as JSON with `?format=json` or `Accept: application/json`; bytes are base64 there."""
    if wants_json(request):
        return JSONResponse(json.loads(json.dumps(content, default=_in_base64)), status)
    return Response(msgpack.packb(content), status, media_type=MSGPACK)


def wants_json(request: Request) -> bool:
    asked = request.query_params.get("format")
    return asked == "json" or (asked is None and "application/json" in request.headers.get("accept", ""))


def _in_base64(value: Any) -> str:
    assert isinstance(value, bytes), type(value)
    return base64.b64encode(value).decode()
