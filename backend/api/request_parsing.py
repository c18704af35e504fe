"""Request bodies: JSON and forms into checked models, with one sentence for what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, TypeVar

from fastapi import HTTPException, Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile

from backend.api.engine_host import host_of
from backend.api.speech.request import SpeechBody
from backend.errors import BadRequest, LimitExceeded
from backend.runtime.request import MAX_REFERENCES
from backend.settings import Settings

Model = TypeVar("Model", bound=BaseModel)

# Larger bodies are read in a thread: here they would keep every other client waiting.
QUICK_BYTES = 64 * 2**10
# Longer values are not repeated in an error.
MAX_SHOWN_CHARS = 40
# One word for what is wrong with a field, as clients of OpenAI's know it; all else is "invalid_value".
CODES = {
    "missing": "missing_required_parameter",
    "extra_forbidden": "unknown_parameter",
    "string_too_long": "string_above_max_length",
    "string_too_short": "empty_string",
    "string_pattern_mismatch": "empty_string",
    "json_invalid": "invalid_json",
}


async def read_speech_body(request: Request) -> SpeechBody:
    """The checked body of `POST /tts`. Raises `BadRequest`, `LimitExceeded`, or 415 for another type of body."""
    kind = content_type(request)
    if kind == "application/json":
        body = await read_json(request, SpeechBody)
    elif kind == "multipart/form-data":
        fields = await read_form(request, files=("reference_audio",), lists=("reference_audio", "reference_text"))
        body = parse(SpeechBody, with_references(fields))
    else:
        raise unsupported(kind, "application/json", "multipart/form-data")
    require_short(request, body.text)
    return body


def require_short(request: Request, text: str) -> None:
    """Raise `LimitExceeded` for a text longer than the settings allow."""
    limit = settings_of(request).max_text_chars
    if len(text) > limit:
        raise LimitExceeded(
            f"The text is {len(text)} characters; the limit is {limit} (MAX_TEXT_CHARS). Send it in parts."
        )


async def read_form(request: Request, files: tuple[str, ...] = (), lists: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of a multipart form; names in `files` give bytes, names in `lists` every value sent.

    An empty text counts as not sent, since that is how pages send an empty field.
    """
    kind = content_type(request)
    if kind != "multipart/form-data":
        raise unsupported(kind, "multipart/form-data")
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
    """The one file of a request: part `name` of a form, or the whole body as `application/octet-stream`."""
    kind = content_type(request)
    if kind == "application/octet-stream":
        content = await request.body()
    elif kind == "multipart/form-data":
        fields = await read_form(request, files=(name,))
        content = fields.pop(name, b"")
        if fields:
            raise BadRequest(f"Unknown field '{next(iter(fields))[:MAX_SHOWN_CHARS]}'; expected only {name}.")
    else:
        raise unsupported(kind, "multipart/form-data", "application/octet-stream")
    if not content:
        raise BadRequest(f"{name} is missing; expected a file. Upload one.")
    return content


def with_references(fields: dict[str, Any]) -> dict[str, Any]:
    """The form's recordings and their words as the list that the JSON body has."""
    # A page sends an empty part for a file nobody picked.
    sounds = [sound for sound in fields.pop("reference_audio", []) if sound]
    words = fields.pop("reference_text", [])
    if len(words) > len(sounds) and any(words):
        raise BadRequest(f"Got {len(words)} of reference_text and {len(sounds)} of reference_audio; expected pairs.")
    words = (words + [""] * len(sounds))[: len(sounds)]
    if "references" in fields:
        raise BadRequest("A form has no field 'references'. Upload each recording as reference_audio.")
    pairs = [{"audio": sound, "text": text} for sound, text in zip(sounds, words, strict=True)]
    return {**fields, "references": pairs}


async def read_json(request: Request, model: type[Model]) -> Model:
    """The JSON body as a `model`, or `BadRequest` naming every field that is wrong."""
    return await off_loop(request, parse_json, model, await request.body())


async def off_loop(request: Request, parse: Callable[..., Model], model: type[Model], content: bytes) -> Model:
    """`parse(model, content)`, in a thread if the content is long."""
    if len(content) <= QUICK_BYTES:
        return parse(model, content)
    return await host_of(request).run(parse, model, content)


def parse_json(model: type[Model], content: bytes) -> Model:
    """`content` as a `model`, or `BadRequest` naming every field that is wrong."""
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        raise _refusal(model, error) from None


def parse(model: type[Model], fields: dict[str, Any]) -> Model:
    """`fields` as a `model`, or `BadRequest` naming every field that is wrong."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise _refusal(model, error) from None


def _refusal(model: type[BaseModel], error: ValidationError) -> BadRequest:
    issues = error.errors(include_url=False)
    place = ".".join(str(part)[:MAX_SHOWN_CHARS] for part in issues[0]["loc"])
    return BadRequest(describe(model, issues), place or None, CODES.get(issues[0]["type"], "invalid_value"))


def describe(model: type[BaseModel], issues: list[Any]) -> str:
    """One sentence for each issue, naming the field, what was sent and what was expected."""
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


def unsupported(kind: str, *expected: str) -> HTTPException:
    got = f"is {kind[:MAX_SHOWN_CHARS]}" if kind else "has no content type"
    return HTTPException(415, f"The body {got}; expected {' or '.join(expected)}.")


def settings_of(request: Request) -> Settings:
    return request.app.state.settings


def _kind_of(is_file: bool) -> str:
    return "a file" if is_file else "a text field"
