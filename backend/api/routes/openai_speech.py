"""`POST /v1/audio/speech`: text in, speech out, as OpenAI's clients ask for it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from backend.api.compat.openai_schemas import OpenAISpeech, openai_schema
from backend.api.compat.openai_sse import SpeechEvents
from backend.api.compat.openai_voices import OPENAI_VOICES, ResolvedVoice, resolve_voice
from backend.api.engine_host import host_of
from backend.api.errors import documented
from backend.api.request_parsing import content_type, read_json, settings_of, unsupported
from backend.api.routes.openai_models import require_model
from backend.api.speech.headers import documented_headers, header_text
from backend.api.speech.response import MEDIA_TYPES, StreamingSpeechResponse, speak
from backend.api.speech.transcode import OutputFormat, TranscodedStream, Transcoder
from backend.errors import BadRequest, UnknownVoice

router = APIRouter(prefix="/v1/audio", tags=["openai"])

# What callers play bare samples at, whatever the rate of the codec.
PCM_SHAPE = OutputFormat("pcm", rate_hz=24_000)
KINDS = [MEDIA_TYPES[format] for format in ("mp3", "opus", "aac", "flac", "wav", "pcm")]

ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The speech, sent as it is made.",
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
    "/speech", response_class=Response, responses=ANSWERS, openapi_extra=BODY, summary="Speak for OpenAI's clients"
)
async def audio_speech(request: Request) -> Response:
    """Speak `input` with `voice`. The fields of `POST /tts` that say how to speak are taken too."""
    if content_type(request) != "application/json":
        raise unsupported(content_type(request), "application/json")
    body = await read_json(request, OpenAISpeech)
    wanted = body.native()
    limit = settings_of(request).max_text_chars
    if len(body.input) > limit:
        raise BadRequest(
            f"input is {len(body.input)} characters; the limit is {limit} (MAX_TEXT_CHARS). Send it in parts.",
            "input", "string_above_max_length",
        )  # fmt: skip
    await require_model(request, body.model)
    house = await _resolve_voice(request, body.voice)
    try:
        answer = await speak(
            request, wanted.model_copy(update={"voice": house.voice}).to_request(), wanted.format, True
        )
    except UnknownVoice as error:
        raise BadRequest(str(error), "voice") from error
    return _dressed(request, answer, body, house)


async def _resolve_voice(request: Request, wanted: str) -> ResolvedVoice:
    if wanted.strip().casefold() not in OPENAI_VOICES:
        return ResolvedVoice(wanted)
    host = host_of(request)
    return resolve_voice(wanted, await host.run(host.engine.voices))


def _dressed(request: Request, answer: Response, body: OpenAISpeech, house: ResolvedVoice) -> Response:
    """The answer as OpenAI's clients expect it."""
    if not isinstance(answer, StreamingSpeechResponse):  # the client has gone
        return answer
    headers, speech = answer.headers, answer.speech
    if body.instructions and body.instructions.strip():
        headers["X-Ignored-Params"] = ", ".join(filter(None, [headers.get("X-Ignored-Params"), "instructions"]))
    if house.voice not in (None, body.voice):
        headers["X-Voice"] = str(house.voice)
    if house.note:
        headers["X-Voice-Note"] = header_text(house.note)
    dressed: Response = answer
    if body.response_format == "pcm" and headers["X-Sample-Rate"] != str(PCM_SHAPE.rate_hz):
        recoder = Transcoder(PCM_SHAPE, int(headers["X-Sample-Rate"]), int(headers["X-Channels"]))
        headers["X-Sample-Rate"] = str(PCM_SHAPE.rate_hz)
        dressed = TranscodedStream(answer, recoder, host_of(request), MEDIA_TYPES["pcm"], dict(headers))
    if body.stream_format == "sse":
        dressed = SpeechEvents(dressed, lambda: (len(body.input), speech.stream.metrics.frames))
    return dressed
