"""Parsing of request bodies: JSON and forms into validated models, with one sentence per invalid field."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, TypeVar

from fastapi import HTTPException, Request
from pydantic import BaseModel, ValidationError, model_validator
from starlette.datastructures import UploadFile

from backend.api.dependencies import host_of, settings_of
from backend.errors import BadRequest, LimitExceeded
from backend.runtime.request import MAX_REFERENCES

Model = TypeVar("Model", bound=BaseModel)

# Larger bodies are parsed in a thread, because parsing them here would block the event loop.
MAX_INLINE_BYTES = 64 * 2**10
# Error messages omit longer values.
MAX_SHOWN_CHARS = 40
# OpenAI's error codes for pydantic's error types; all others are "invalid_value".
VALIDATION_CODES = {
    "missing": "missing_required_parameter",
    "extra_forbidden": "unknown_parameter",
    "string_too_long": "string_above_max_length",
    "string_too_short": "empty_string",
    "string_pattern_mismatch": "empty_string",
    "json_invalid": "invalid_json",
}


class RequestModel(BaseModel):
    """Base class of request bodies: a null field counts as omitted, also in nested objects."""

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        omitted = set(cls.model_fields) - cls.null_fields()
        return {name: value for name, value in fields.items() if value is not None or name not in omitted}

    @classmethod
    def null_fields(cls) -> set[str]:
        """Names of the fields for which null is a value of its own."""
        return set()


def check_text_length(request: Request, text: str) -> None:
    """Raises `LimitExceeded` for a text longer than MAX_TEXT_CHARS."""
    limit = settings_of(request).max_text_chars
    if len(text) > limit:
        raise LimitExceeded(
            f"The text is {len(text)} characters; the limit is {limit} (MAX_TEXT_CHARS). Send it in parts."
        )


async def read_form(request: Request, files: tuple[str, ...] = (), lists: tuple[str, ...] = ()) -> dict[str, Any]:
    """Returns the fields of a multipart form. Names in `files` give bytes; names in `lists` give all values sent.

    An empty text counts as omitted, because HTML forms send empty fields that way.
    """
    kind = content_type(request)
    if kind != "multipart/form-data":
        raise unsupported_media_type(kind, "multipart/form-data")
    max_bytes = settings_of(request).max_upload_mb * 2**20
    fields: dict[str, Any] = {}
    async with request.form(max_files=2 * MAX_REFERENCES, max_fields=100, max_part_size=max_bytes) as form:
        for name, value in form.multi_items():
            is_file = isinstance(value, UploadFile)
            if is_file != (name in files) and (is_file or value):
                expected = "a file" if name in files else "a text field"
                raise BadRequest(f"{name[:MAX_SHOWN_CHARS]} was sent as {_kind_of(is_file)}; expected {expected}.")
            content = await value.read() if isinstance(value, UploadFile) else value
            if name in lists:
                fields.setdefault(name, []).append(content)
            elif content != "" and name in fields:
                raise BadRequest(f"The form has {name[:MAX_SHOWN_CHARS]} twice; expected it once.")
            elif content != "":
                fields[name] = content
    return fields


async def read_upload(request: Request, name: str) -> bytes:
    """Returns the uploaded file: part `name` of a form, or the whole body as `application/octet-stream`."""
    kind = content_type(request)
    if kind == "application/octet-stream":
        content = await request.body()
    elif kind == "multipart/form-data":
        fields = await read_form(request, files=(name,))
        content = fields.pop(name, b"")
        if fields:
            raise BadRequest(f"Unknown field '{next(iter(fields))[:MAX_SHOWN_CHARS]}'; expected only {name}.")
    else:
        raise unsupported_media_type(kind, "multipart/form-data", "application/octet-stream")
    if not content:
        raise BadRequest(f"{name} is missing; expected a file. Upload one.")
    return content


async def read_json(request: Request, model: type[Model]) -> Model:
    """Returns the JSON body as a `model`. Raises `BadRequest` with all invalid fields."""
    return await parse_off_loop(request, parse_json, model, await request.body())


async def parse_off_loop(request: Request, parse: Callable[..., Model], model: type[Model], content: bytes) -> Model:
    """Returns `parse(model, content)`, computed in a thread if the content is long."""
    if len(content) <= MAX_INLINE_BYTES:
        return parse(model, content)
    return await host_of(request).run(parse, model, content)


def parse_json(model: type[Model], content: bytes) -> Model:
    """Returns JSON `content` as a `model`. Raises `BadRequest` with all invalid fields."""
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        raise _bad_request(model, error) from None


def parse(model: type[Model], fields: dict[str, Any]) -> Model:
    """Returns `fields` as a `model`. Raises `BadRequest` with all invalid fields."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise _bad_request(model, error) from None


def _bad_request(model: type[BaseModel], error: ValidationError) -> BadRequest:
    issues = error.errors(include_url=False)
    name = ".".join(str(part)[:MAX_SHOWN_CHARS] for part in issues[0]["loc"])
    return BadRequest(describe(model, issues), name or None, VALIDATION_CODES.get(issues[0]["type"], "invalid_value"))


def describe(model: type[BaseModel], issues: list[Any]) -> str:
    """Returns one sentence per validation error: the field, the value sent and what was expected."""
    return " ".join([*dict.fromkeys(_sentence(model, issue) for issue in issues), "See /docs for every field."])


def _sentence(model: type[BaseModel], issue: Any) -> str:
    name = ".".join(str(part)[:MAX_SHOWN_CHARS] for part in issue["loc"]) or "body"
    if issue["type"] == "extra_forbidden":
        near = get_close_matches(str(issue["loc"][-1]), model.model_fields, n=1)
        return f"Unknown field '{name}'{f' (did you mean {near[0]}?)' if near else ''}."
    if issue["type"] == "missing":
        return f"{name} is missing."
    reason = issue["msg"].removeprefix("Value error, ").removeprefix("Input ")
    reason = reason[:1].lower() + reason[1:]
    if issue["type"] in ("string_pattern_mismatch", "string_too_short"):
        return f"{name} is empty."
    shown = repr(issue["input"]) if isinstance(issue["input"], str | int | float | bool) else ""
    return f"{name}{f' is {shown}' if 0 < len(shown) <= MAX_SHOWN_CHARS else ''}: {reason}."


def content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def unsupported_media_type(kind: str, *expected: str) -> HTTPException:
    got = f"is {kind[:MAX_SHOWN_CHARS]}" if kind else "has no content type"
    return HTTPException(415, f"The body {got}; expected {' or '.join(expected)}.")


def _kind_of(is_file: bool) -> str:
    return "a file" if is_file else "a text field"
