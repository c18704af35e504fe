"""Speech with timestamps of sentences and words, as JSON or subtitles."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any, Literal, get_args

from fastapi import Request
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from backend.api.engine_host import SpeechStreamProtocol
from backend.api.speech.headers import headers_at_end, headers_at_start
from backend.api.speech.response import CLIENT_CLOSED_REQUEST, SpeechRun, encoded, on_disconnect
from backend.audio.waveform import Waveform
from backend.errors import Cancelled
from backend.runtime.request import SpeechRequest

# Base64 encodes three bytes as four characters, so parts with a multiple of three bytes join without padding.
PART_BYTES = 3 * 2**16

Output = Literal["json", "srt", "vtt"]
SUBTITLE_TYPES = {"srt": "application/x-subrip", "vtt": "text/vtt"}
assert {*SUBTITLE_TYPES, "json"} == set(get_args(Output))


class WordTime(BaseModel):
    """A word with its start and end time."""

    model_config = ConfigDict(from_attributes=True)

    text: str
    start_s: float
    end_s: float


class SentenceTime(BaseModel):
    """A sentence with its start and end time."""

    model_config = ConfigDict(from_attributes=True)

    text: str
    start_s: float
    end_s: float
    words: list[WordTime] = Field(description="Empty without word timestamps; see `has_words`.")


class TimedBody(BaseModel):
    """Response of `POST /tts/timed`."""

    audio: str = Field(description="Audio file in base64.")
    format: str
    sample_rate: int
    duration_s: float
    seed: int
    finish_reason: str
    has_words: bool = Field(
        description="False for checkpoints without a text pointer; `sentences` then are text segments with exact times."
    )
    sentences: list[SentenceTime]


async def speak_timed(request: Request, speech_request: SpeechRequest, format: str, output: Output) -> Response:
    """Returns a response with the whole speech and its timestamps, or with subtitles only."""
    speech = SpeechRun(request, speech_request)
    try:
        async with on_disconnect(request.receive, speech.cancel):
            first = await speech.open()
            whole = await speech.whole(first)
            body = await speech.host.run(_timed_body, speech.stream, whole, format, output)
        speech.sent(whole.duration_s)
        speech.finish()
        headers = headers_at_start(speech.stream, first) | headers_at_end(speech.stream)
        if output != "json":
            return PlainTextResponse(body, media_type=SUBTITLE_TYPES[output], headers=headers)
        return Response(body, media_type="application/json", headers=headers)
    except Cancelled:
        if not speech.is_cancelled:
            raise
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    finally:
        speech.close()


def _timed_body(stream: SpeechStreamProtocol, whole: Waveform, format: str, output: Output) -> bytes | str:
    sentences = stream.sentences
    if output != "json":
        return subtitles(sentences, output)
    body = TimedBody(
        audio="", format=format, sample_rate=whole.rate_hz, duration_s=round(whole.duration_s, 4),
        seed=stream.metrics.seed, finish_reason=stream.finish_reason,
        has_words=any(sentence.words for sentence in sentences), sentences=sentence_times(sentences),
    )  # fmt: skip
    # The audio is inserted by hand: json.dumps would scan every character while it holds the interpreter lock.
    before, after = json.dumps(body.model_dump()).encode().split(b'"audio": ""', 1)
    content = encoded(whole, format)
    parts = [base64.b64encode(content[at : at + PART_BYTES]) for at in range(0, len(content), PART_BYTES)]
    return b"".join([before, b'"audio": "', *parts, b'"', after])


def sentence_times(sentences: Sequence[Any], after_s: float = 0.0) -> list[SentenceTime]:
    """Returns sentences with times shifted by `after_s` and rounded to milliseconds."""
    return [
        SentenceTime(
            text=sentence.text, **_times(sentence, after_s),
            words=[WordTime(text=word.text, **_times(word, after_s)) for word in sentence.words],
        )
        for sentence in sentences
    ]  # fmt: skip


def _times(timed: Any, after_s: float) -> dict[str, float]:
    return {"start_s": round(timed.start_s + after_s, 3), "end_s": round(timed.end_s + after_s, 3)}


def subtitles(sentences: Sequence[Any], output: str) -> str:
    """Returns SubRip or WebVTT subtitles with one cue per sentence."""
    cues = [
        (f"{number}\n" if output == "srt" else "")
        + f"{_timestamp(sentence.start_s, output)} --> {_timestamp(sentence.end_s, output)}\n{_cue_text(sentence.text, output)}\n"
        for number, sentence in enumerate(sentences, 1)
    ]
    return ("WEBVTT\n\n" if output == "vtt" else "") + "\n".join(cues)


def _cue_text(text: str, output: str) -> str:
    # An empty line would end the cue, and WebVTT parses markup.
    line = " ".join(text.split())
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") if output == "vtt" else line


def _timestamp(at_s: float, output: str) -> str:
    milliseconds = round(at_s * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    separator = "," if output == "srt" else "."
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{separator}{milliseconds % 1000:03}"
