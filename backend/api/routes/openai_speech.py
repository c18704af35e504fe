"""`POST /v1/audio/speech`: the OpenAI-compatible speech endpoint."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from backend.api.compat.foreign_fields import ForeignFields
from backend.api.compat.openai_schemas import OpenAISpeech, openai_schema
from backend.api.compat.openai_sse import SpeechEvents
from backend.api.compat.openai_voices import OPENAI_VOICES, ResolvedVoice, resolve_voice
from backend.api.dependencies import AppSettings, Host
from backend.api.engine_host import EngineHost
from backend.api.errors import documented
from backend.api.request_parsing import content_type, read_json, unsupported_media_type
from backend.api.routes.openai_models import loaded_model
from backend.api.speech.headers import documented_headers, header_text
from backend.api.speech.response import MEDIA_TYPES, StreamingSpeechResponse
from backend.api.speech.transcode import OutputFormat, TranscodedStream, speak_as
from backend.errors import BadRequest, UnknownVoice

router = APIRouter(prefix="/v1/audio", tags=["openai"])

# OpenAI clients play raw samples at this rate, whatever the rate of the codec.
PCM_FORMAT = OutputFormat("pcm", rate_hz=24_000)
# A FLAC of a text up to this length is sent as a whole, because players cannot read one without its length.
SHORT_CHARS = 500
KINDS = [MEDIA_TYPES[format] for format in ("mp3", "opus", "aac", "flac", "wav", "pcm")]

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The speech, streamed while it is generated.",
        "content": {
            **{kind: {"schema": {"type": "string", "format": "binary"}} for kind in KINDS},
            "text/event-stream": {"schema": {"type": "string"}},
        },
        "headers": documented_headers(),
    },
    429: {
        **documented(429)[429],
        "headers": {
            "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."},
            "Retry-After-Ms": {"schema": {"type": "integer"}, "description": "Milliseconds."},
        },
    },
    **documented(404, 413, 415, 503, 504),
}
BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": openai_schema()}}}}


@router.post(
    "/speech", response_class=Response, responses=RESPONSES, openapi_extra=BODY, summary="Speak for OpenAI's clients"
)
async def audio_speech(request: Request, host: Host, settings: AppSettings) -> Response:
    """Synthesize `input` with `voice`. The sampling fields of `POST /tts` are accepted too."""
    if content_type(request) != "application/json":
        raise unsupported_media_type(content_type(request), "application/json")
    body = await read_json(request, OpenAISpeech)
    native = body.native()
    limit = settings.max_text_chars
    if len(body.input) > limit:
        raise BadRequest(
            f"input is {len(body.input)} characters; the limit is {limit} (MAX_TEXT_CHARS). Send it in parts.",
            "input", "string_above_max_length",
        )  # fmt: skip
    foreign = body.foreign()
    voice = await _resolve_voice(host, body.voice)
    output = _output_format(body, foreign)
    is_whole = _is_whole(request, body, foreign)
    try:
        response = await speak_as(
            request, native.model_copy(update={"voice": voice.voice}).to_request(), output, not is_whole,
            foreign.reported,
        )  # fmt: skip
    except UnknownVoice as error:
        raise BadRequest(str(error), "voice") from error
    if "x-sample-rate" in response.headers:  # else the client has disconnected
        response.headers["X-Model"] = header_text(await loaded_model(host))
        _add_headers(response, body, voice)
    if body.stream_format == "sse" and isinstance(response, StreamingSpeechResponse | TranscodedStream):
        speech = response.speech
        return SpeechEvents(response, lambda: (len(body.input), speech.stream.metrics.frames))
    return response


def _output_format(body: OpenAISpeech, foreign: ForeignFields) -> OutputFormat:
    if foreign.sample_rate_hz is not None:
        return OutputFormat(body.response_format, foreign.sample_rate_hz)
    return PCM_FORMAT if body.response_format == "pcm" else OutputFormat(body.response_format)


def _is_whole(request: Request, body: OpenAISpeech, foreign: ForeignFields) -> bool:
    """Whether to send a whole file: on request, or where the client does not read before the end anyway."""
    if body.stream_format == "sse":
        return False
    if foreign.is_streaming is not None:
        return not foreign.is_streaming
    if request.headers.get("x-whole-file", "").lower() == "true":
        return True
    # Only a WAV or FLAC header states a length. The OpenAI client for Python reads the whole body unless it says so.
    headers = request.headers
    is_buffering = headers.get("x-stainless-lang") == "python" and headers.get("x-stainless-raw-response") != "stream"
    is_short_flac = body.response_format == "flac" and len(body.input) <= SHORT_CHARS
    return is_short_flac or (is_buffering and body.response_format in ("wav", "flac"))


async def _resolve_voice(host: EngineHost, name: str) -> ResolvedVoice:
    if not name.strip():
        return ResolvedVoice(None)
    if name.strip().casefold() not in OPENAI_VOICES:
        return ResolvedVoice(name)
    return resolve_voice(name, await host.run(host.engine.voices))


def _add_headers(response: Response, body: OpenAISpeech, voice: ResolvedVoice) -> None:
    headers = response.headers
    if body.instructions and body.instructions.strip():
        headers["X-Ignored-Params"] = ", ".join(filter(None, [headers.get("X-Ignored-Params"), "instructions"]))
    if voice.voice not in (None, body.voice):
        headers["X-Voice"] = str(voice.voice)
    if voice.note:
        headers["X-Voice-Note"] = header_text(voice.note)
