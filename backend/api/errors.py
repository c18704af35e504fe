"""HTTP status codes of the error classes, and the exception handlers that return them."""

from __future__ import annotations

from http import HTTPStatus
from math import ceil

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from backend import errors
from backend.api.error_formats import extra_error_fields, with_openai_format

# Headers of every response, also of a failure outside the middleware stack.
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-site",
    "Content-Security-Policy": "default-src 'none'; media-src 'self'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
# The nearest base class is used, so a subclass needs an entry only when its status differs.
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
    """Body of every error response outside `/v1`."""

    error: str = Field(description="Error class.", examples=["BadRequest"])
    message: str = Field(description="The value received, the value expected and how to fix it.")


# Documented for all routes; each route adds its other statuses.
ANY_ROUTE: dict[int | str, dict] = {
    status: {"model": ErrorBody, "description": HTTPStatus(status).phrase} for status in (400, 401, 403, 500)
}


def documented(*statuses: int) -> dict[int | str, dict]:
    """Returns the `responses` argument of a route that can also return these statuses."""
    return {status: {"model": ErrorBody, "description": HTTPStatus(status).phrase} for status in statuses}


def status_of(error: errors.PhonogramError) -> int:
    """Returns the status of the nearest base class in `STATUS`."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


@with_openai_format
async def handle_phonogram_error(request: Request, error: Exception) -> JSONResponse:
    """Returns the error's own message, which is safe to show."""
    if not isinstance(error, errors.PhonogramError):
        raise error
    headers = {}
    if isinstance(error, errors.RetryLater):
        headers = {
            "Retry-After": str(max(1, ceil(error.retry_after_s))),
            "Retry-After-Ms": str(ceil(error.retry_after_s * 1000)),
        }
    return _body(request, error.kind, str(error), status_of(error), headers)


@with_openai_format
async def handle_http_error(request: Request, error: Exception) -> JSONResponse:
    """Handles errors of the framework and middleware, such as 404, 405 and 401."""
    if not isinstance(error, HTTPException):
        raise error
    kind = HTTPStatus(error.status_code).phrase.title().replace(" ", "").replace("-", "")
    message = error.detail
    if message == HTTPStatus(error.status_code).phrase:
        message = f"{request.method} {request.url.path[:80]}: {message.lower()}. See /docs for all routes."
    return _body(request, kind, message, error.status_code, dict(error.headers or {}))


@with_openai_format
async def handle_validation_error(request: Request, error: Exception) -> JSONResponse:
    """Returns 400 for an invalid path or query parameter."""
    if not isinstance(error, RequestValidationError):
        raise error
    reasons = [f"{issue['loc'][-1]}: {issue['msg'][:1].lower()}{issue['msg'][1:]}." for issue in error.errors()]
    return _body(request, "BadRequest", " ".join([*reasons, "See /docs for every parameter."]), 400, {})


@with_openai_format
async def handle_internal_error(request: Request, error: Exception) -> JSONResponse:
    """Returns 500 with the request id; the details are only in the log."""
    request_id = getattr(request.state, "request_id", "")
    message = f"The server failed internally. Its log has the details for request {request_id}."
    # This handler runs outside the middleware that adds headers.
    return _body(request, "InternalError", message, 500, {"X-Request-Id": request_id, **SECURITY_HEADERS})


def install(app: FastAPI) -> None:
    """Adds the exception handlers to `app`."""
    app.add_exception_handler(errors.PhonogramError, handle_phonogram_error)
    app.add_exception_handler(HTTPException, handle_http_error)
    app.add_exception_handler(RequestValidationError, handle_validation_error)
    app.add_exception_handler(Exception, handle_internal_error)


def _body(request: Request, kind: str, message: str, status: int, headers: dict[str, str]) -> JSONResponse:
    extra = extra_error_fields(request.url.path, kind, message, status)
    return JSONResponse({"error": kind, "message": message, **extra}, status_code=status, headers=headers)
