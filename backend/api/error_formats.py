"""Error formats of the compatible APIs: OpenAI's `{"error": {"message", "type", "param", "code"}}`, fish, ElevenLabs."""

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
# Codes that OpenAI clients know; any other error uses its class name in snake case.
OPENAI_CODES = {
    "Unauthorized": "invalid_api_key",
    "BadRequest": "invalid_value",
    "UnknownModel": "model_not_found",
    "LimitExceeded": "limit_exceeded",
    "Busy": "rate_limit_exceeded",
    "TooManyRequests": "rate_limit_exceeded",
}
# OpenAI clients retry 409 and everything from 500 on. Only these statuses can succeed on a retry.
RETRYABLE = (429, 503)

Handler: TypeAlias = Callable[[Request, Exception], Awaitable[JSONResponse]]


class OpenAIError(BaseModel):
    """An error in OpenAI's format."""

    message: str = Field(description="The value received, the value expected and how to fix it.")
    type: str = Field(description="`invalid_request_error`, `rate_limit_error` or `server_error`.")
    param: str | None = Field(description="The invalid parameter, if the error concerns one.")
    code: str | None = Field(description="Error code.", examples=["invalid_value"])


class OpenAIErrorBody(BaseModel):
    """Body of every error response under `/v1`."""

    error: OpenAIError


def with_openai_format(handler: Handler) -> Handler:
    """Wraps an error handler so that its responses use OpenAI's format on OpenAI paths."""

    @wraps(handler)
    async def wrapper(request: Request, error: Exception) -> JSONResponse:
        response = await handler(request, error)
        return _to_openai(response, error) if uses_openai_format(request.url.path) else response

    return wrapper


def uses_openai_format(path: str) -> bool:
    """Whether errors at `path` use OpenAI's format."""
    return path.startswith(PREFIX) and not _is_below(path, (*FISH, *ELEVENLABS))


def _to_openai(response: JSONResponse, error: Exception) -> JSONResponse:
    native = json.loads(bytes(response.body))
    param, code = _param_and_code(error)
    body = {
        "message": native["message"],
        "type": _type_of(response.status_code),
        "param": param,
        "code": code or OPENAI_CODES.get(native["error"]) or _error_code(native["error"]),
    }
    headers = {name: text for name, text in response.headers.items() if name not in ("content-length", "content-type")}
    if response.status_code >= 409 and response.status_code not in RETRYABLE:
        headers["X-Should-Retry"] = "false"
    return JSONResponse({"error": body}, status_code=response.status_code, headers=headers)


def _param_and_code(error: Exception) -> tuple[str | None, str | None]:
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


def _error_code(kind: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()


FISH = ("/v1/tts", "/v1/references", "/v1/vqgan", "/v1/health")
ELEVENLABS = ("/v1/text-to-speech", "/v1/voices")


def extra_error_fields(path: str, kind: str, message: str, status: int) -> dict[str, Any]:
    """Returns the fields that fish or ElevenLabs clients expect besides `error` and `message`."""
    if _is_below(path, FISH):
        return {"statusCode": status}
    if _is_below(path, ELEVENLABS):
        return {"detail": {"status": _snake_case(kind), "message": message}}
    return {}


def _is_below(path: str, prefixes: tuple[str, ...]) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes)


def _snake_case(kind: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind).lstrip("_")
