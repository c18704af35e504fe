"""The one table from the error tree to HTTP, and the one shape of an error body outside `/v1`."""

from __future__ import annotations

from http import HTTPStatus
from math import ceil

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from backend import errors
from backend.api.error_formats import enveloped, for_clients_of
from backend.api.middleware.security_headers import HEADERS as SHIELD

# The nearest class of the error wins, so a subclass needs a line only when it differs.
STATUS: dict[type[errors.PhonogramError], int] = {
    errors.LimitExceeded: 413,
    errors.BadAudio: 400,
    errors.BadText: 400,
    errors.BadCodes: 400,
    errors.BadContainer: 400,
    errors.BadRequest: 400,
    errors.BadVoice: 400,
    errors.UnknownVoice: 404,
    errors.UnknownModel: 404,
    errors.VoiceExists: 409,
    errors.BadDocument: 400,
    errors.UnknownJob: 404,
    errors.JobConflict: 409,
    errors.StorageFull: 507,
    errors.Busy: 429,
    errors.Cancelled: 503,
    errors.NotAvailable: 503,
    errors.NotReady: 503,
    errors.NotSupported: 501,
    errors.TimedOut: 504,
    errors.BadCheckpoint: 500,
    errors.BadSettings: 500,
    errors.EngineFailure: 500,
    errors.OutputError: 500,
    errors.PhonogramError: 500,
}


class ErrorBody(BaseModel):
    """The body of every answer that is not a success."""

    error: str = Field(description="What kind of error, one word.", examples=["BadRequest"])
    message: str = Field(description="What was found, what was expected and what to do.")


# For the documentation of routes; a route adds what else it answers with.
ANY_ROUTE: dict[int | str, dict] = {
    status: {"model": ErrorBody, "description": HTTPStatus(status).phrase} for status in (400, 401, 403, 500)
}


def documented(*statuses: int) -> dict[int | str, dict]:
    """The `responses` of a route that also answers with these."""
    return {status: {"model": ErrorBody, "description": HTTPStatus(status).phrase} for status in statuses}


def status_of(error: errors.PhonogramError) -> int:
    """Return the status of the nearest class in the table."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


@enveloped
async def answer(request: Request, error: Exception) -> JSONResponse:
    """Answer with the error's own sentence; its text is safe to show."""
    if not isinstance(error, errors.PhonogramError):
        raise error
    headers = {}
    if isinstance(error, errors.RetryLater):
        headers = {
            "Retry-After": str(max(1, ceil(error.retry_after_s))),
            "Retry-After-Ms": str(ceil(error.retry_after_s * 1000)),
        }
    return _body(request, error.kind, str(error), status_of(error), headers)


@enveloped
async def answer_http(request: Request, error: Exception) -> JSONResponse:
    """What the framework refuses itself: no such path, a wrong method, a wrong key."""
    if not isinstance(error, HTTPException):
        raise error
    kind = HTTPStatus(error.status_code).phrase.title().replace(" ", "").replace("-", "")
    message = error.detail
    if message == HTTPStatus(error.status_code).phrase:
        message = f"{request.method} {request.url.path[:80]}: {message.lower()}. See /docs for what there is."
    return _body(request, kind, message, error.status_code, dict(error.headers or {}))


@enveloped
async def answer_validation(request: Request, error: Exception) -> JSONResponse:
    """A path or query parameter that does not fit."""
    if not isinstance(error, RequestValidationError):
        raise error
    reasons = [f"{issue['loc'][-1]}: {issue['msg'][:1].lower()}{issue['msg'][1:]}." for issue in error.errors()]
    return _body(request, "BadRequest", " ".join([*reasons, "See /docs for every parameter."]), 400, {})


@enveloped
async def answer_fault(request: Request, error: Exception) -> JSONResponse:
    """A fault of ours: the log has it under the request's id, the answer tells nothing of the inside."""
    request_id = getattr(request.state, "request_id", "")
    message = f"Something failed inside the server. Its log says what, at request {request_id}."
    # Made outside of everything that adds headers.
    return _body(request, "InternalError", message, 500, {"X-Request-Id": request_id, **SHIELD})


def install(app: FastAPI) -> None:
    """Let `app` answer every error in the same shape, but under `/v1` in the one OpenAI's clients read."""
    app.add_exception_handler(errors.PhonogramError, answer)
    app.add_exception_handler(HTTPException, answer_http)
    app.add_exception_handler(RequestValidationError, answer_validation)
    app.add_exception_handler(Exception, answer_fault)


def _body(request: Request, kind: str, message: str, status: int, headers: dict[str, str]) -> JSONResponse:
    own = for_clients_of(request.url.path, kind, message, status)
    return JSONResponse({"error": kind, "message": message, **own}, status_code=status, headers=headers)
