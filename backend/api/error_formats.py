"""Errors under `/v1` in the envelope OpenAI's clients read: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeAlias

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from backend import errors

PREFIX = "/v1/"
# Codes that clients know; any other kind of error is its own name in small letters.
CODES = {
    "Unauthorized": "invalid_api_key",
    "BadRequest": "invalid_value",
    "UnknownModel": "model_not_found",
    "LimitExceeded": "limit_exceeded",
    "Busy": "rate_limit_exceeded",
    "TooManyRequests": "rate_limit_exceeded",
}
# A client of OpenAI's tries again on 409 and from 500 on. These will not go away by that.
FLEETING = (429, 503)

Handler: TypeAlias = Callable[[Request, Exception], Awaitable[JSONResponse]]


class OpenAIError(BaseModel):
    """What went wrong."""

    message: str = Field(description="What was found, what was expected and what to do.")
    type: str = Field(description="`invalid_request_error`, `rate_limit_error` or `server_error`.")
    param: str | None = Field(description="The parameter that is wrong, where it is one.")
    code: str | None = Field(description="What kind of error, one word.", examples=["invalid_value"])


class OpenAIErrorBody(BaseModel):
    """The body of every answer under `/v1` that is not a success."""

    error: OpenAIError


def enveloped(handler: Handler) -> Handler:
    """`handler`, whose answers under `/v1` come in the envelope, but for the doors of other services."""

    @wraps(handler)
    async def answer(request: Request, error: Exception) -> JSONResponse:
        plain = await handler(request, error)
        return _envelope(plain, error) if is_enveloped(request.url.path) else plain

    return answer


def is_enveloped(path: str) -> bool:
    """Whether errors at `path` come in the envelope."""
    return path.startswith(PREFIX) and not has_own_shape(path)


def _envelope(plain: JSONResponse, error: Exception) -> JSONResponse:
    told = json.loads(bytes(plain.body))
    param, code = _place_of(error)
    body = {
        "message": told["message"],
        "type": _type_of(plain.status_code),
        "param": param,
        "code": code or CODES.get(told["error"]) or _small(told["error"]),
    }
    headers = {name: value for name, value in plain.headers.items() if name not in ("content-length", "content-type")}
    if plain.status_code >= 409 and plain.status_code not in FLEETING:
        headers["X-Should-Retry"] = "false"
    return JSONResponse({"error": body}, status_code=plain.status_code, headers=headers)


def _place_of(error: Exception) -> tuple[str | None, str | None]:
    if isinstance(error, errors.BadRequest):
        return error.param, error.code
    if isinstance(error, errors.UnknownModel):
        return "model", None
    if isinstance(error, RequestValidationError):
        return str(error.errors()[0]["loc"][-1]), None
    return None, None


def _type_of(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"


def _small(kind: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()


FISH = ("/v1/tts", "/v1/references", "/v1/vqgan", "/v1/health")
ELEVENLABS = ("/v1/text-to-speech", "/v1/voices")


def for_clients_of(path: str, kind: str, message: str, status: int) -> dict[str, Any]:
    """The keys that an error at `path` has besides `error` and `message`."""
    if _is_below(path, FISH):
        return {"statusCode": status}
    if _is_below(path, ELEVENLABS):
        return {"detail": {"status": _snake_case(kind), "message": message}}
    return {}


def has_own_shape(path: str) -> bool:
    """Whether errors at `path` are read by clients of a service of other manners than OpenAI's."""
    return _is_below(path, (*FISH, *ELEVENLABS))


def _is_below(path: str, prefixes: tuple[str, ...]) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes)


def _snake_case(kind: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind).lstrip("_")
