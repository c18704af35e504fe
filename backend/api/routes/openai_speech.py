"""`POST /v1/audio/speech`: the OpenAI-compatible speech endpoint."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from backend.api.compat.openai_schemas import OpenAISpeech, openai_schema
from backend.api.compat.openai_sse import SpeechEvents
from backend.api.compat.openai_voices import OPENAI_VOICES, ResolvedVoice, resolve_voice
from backend.api.dependencies import AppSettings, Host
from backend.api.engine_host import EngineHost
from backend.api.errors import documented
from backend.api.request_parsing import content_type, read_json, unsupported_media_type
from backend.api.routes.openai_models import require_model
from backend.api.speech.headers import documented_headers, header_text
from backend.api.speech.response import MEDIA_TYPES, StreamingSpeechResponse, speak
from backend.api.speech.transcode import OutputFormat, TranscodedStream, Transcoder
from backend.errors import BadRequest, UnknownVoice

router = APIRouter(prefix="/v1/audio", tags=["openai"])

# OpenAI clients play raw samples at this rate, whatever the rate of the codec.
PCM_FORMAT = OutputFormat("pcm", rate_hz=24_000)
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
    await require_model(host, body.model)
    voice = await _resolve_voice(host, body.voice)
    try:
        response = await speak(
            request, native.model_copy(update={"voice": voice.voice}).to_request(), native.format, True
        )
    except UnknownVoice as error:
        raise BadRequest(str(error), "voice") from error
    return _openai_response(host, response, body, voice)


async def _resolve_voice(host: EngineHost, name: str) -> ResolvedVoice:
    if name.strip().casefold() not in OPENAI_VOICES:
        return ResolvedVoice(name)
    return resolve_voice(name, await host.run(host.engine.voices))


def _openai_response(host: EngineHost, native: Response, body: OpenAISpeech, voice: ResolvedVoice) -> Response:
    if not isinstance(native, StreamingSpeechResponse):  # the client has disconnected
        return native
    headers, speech = native.headers, native.speech
    if body.instructions and body.instructions.strip():
        headers["X-Ignored-Params"] = ", ".join(filter(None, [headers.get("X-Ignored-Params"), "instructions"]))
    if voice.voice not in (None, body.voice):
        headers["X-Voice"] = str(voice.voice)
    if voice.note:
        headers["X-Voice-Note"] = header_text(voice.note)
    response: Response = native
    if body.response_format == "pcm" and headers["X-Sample-Rate"] != str(PCM_FORMAT.rate_hz):
        transcoder = Transcoder(PCM_FORMAT, int(headers["X-Sample-Rate"]), int(headers["X-Channels"]))
        headers["X-Sample-Rate"] = str(PCM_FORMAT.rate_hz)
        response = TranscodedStream(native, transcoder, host, MEDIA_TYPES["pcm"], dict(headers))
    if body.stream_format == "sse":
        response = SpeechEvents(response, lambda: (len(body.input), speech.stream.metrics.frames))
    return response
