"""The one table from the error tree to HTTP, and the one shape of an error body."""

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from backend import errors

# The nearest class of the error wins, so a subclass needs a line only when it differs.
STATUS: dict[type[errors.PhonogramError], int] = {
    errors.LimitExceeded: 413,
    errors.BadAudio: 400,
    errors.BadText: 400,
    errors.BadCodes: 400,
    errors.BadContainer: 400,
    errors.BadCheckpoint: 500,
    errors.BadSettings: 500,
    errors.OutputError: 500,
    errors.PhonogramError: 500,
}


def status_of(error: errors.PhonogramError) -> int:
    """Return the status of the nearest class in the table."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


async def answer(request: Request, error: Exception) -> JSONResponse:
    """Answer with the error's own sentence; its text is safe to show."""
    if not isinstance(error, errors.PhonogramError):
        raise error
    body = {"error": type(error).__name__, "message": str(error)}
    return JSONResponse(body, status_code=status_of(error))


def install(app: FastAPI) -> None:
    """Let `app` answer every `PhonogramError` by the table."""
    app.add_exception_handler(errors.PhonogramError, answer)
