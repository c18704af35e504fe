"""A whole speech with the times of its sentences and words, as JSON or as subtitles."""

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
from backend.api.speech.response import CLIENT_GONE, SpeechRun, encoded, on_disconnect
from backend.audio.waveform import Waveform
from backend.errors import Cancelled
from backend.runtime.request import SpeechRequest

# Three bytes are four characters, so parts of a multiple of three need no padding in between.
PART_BYTES = 3 * 2**16

Output = Literal["json", "srt", "vtt"]
SUBTITLE_TYPES = {"srt": "application/x-subrip", "vtt": "text/vtt"}
assert {*SUBTITLE_TYPES, "json"} == set(get_args(Output))


class WordTime(BaseModel):
    """A word as it was read, and when it is heard."""

    model_config = ConfigDict(from_attributes=True)

    text: str
    start_s: float
    end_s: float


class SentenceTime(BaseModel):
    """What is said from `start_s` to `end_s`."""

    model_config = ConfigDict(from_attributes=True)

    text: str
    start_s: float
    end_s: float
    words: list[WordTime] = Field(description="Empty where the checkpoint cannot tell: see `has_words`.")


class TimedBody(BaseModel):
    """The answer of `POST /tts/timed`."""

    audio: str = Field(description="The sound file in base64.")
    format: str
    sample_rate: int
    duration_s: float
    seed: int
    finish_reason: str
    has_words: bool = Field(
        description="False for checkpoints without a pointer: a sentence is then a whole segment of the text, with exact edges."
    )
    sentences: list[SentenceTime]


async def speak_timed(request: Request, wanted: SpeechRequest, format: str, output: Output) -> Response:
    """Answer with the whole speech and its times, or with its subtitles alone."""
    speech = SpeechRun(request, wanted)
    try:
        async with on_disconnect(request.receive, speech.leave):
            first = await speech.open()
            whole = await speech.whole(first)
            told = await speech.host.run(_told, speech.stream, whole, format, output)
        speech.sent(whole.duration_s)
        speech.finish()
        headers = headers_at_start(speech.stream, first) | headers_at_end(speech.stream)
        if output != "json":
            return PlainTextResponse(told, media_type=SUBTITLE_TYPES[output], headers=headers)
        return Response(told, media_type="application/json", headers=headers)
    except Cancelled:
        if not speech.is_left:
            raise
        return Response(status_code=CLIENT_GONE)
    finally:
        speech.close()


def _told(stream: SpeechStreamProtocol, whole: Waveform, format: str, output: Output) -> bytes | str:
    """The body of the answer."""
    sentences = stream.sentences
    if output != "json":
        return subtitles(sentences, output)
    body = TimedBody(
        audio="", format=format, sample_rate=whole.rate_hz, duration_s=round(whole.duration_s, 4),
        seed=stream.metrics.seed, finish_reason=stream.finish_reason,
        has_words=any(sentence.words for sentence in sentences), sentences=sentence_times(sentences),
    )  # fmt: skip
    # The sound goes in by hand: as a field, every one of its characters would be looked at with all threads waiting.
    before, after = json.dumps(body.model_dump()).encode().split(b'"audio": ""', 1)
    content = encoded(whole, format)
    parts = [base64.b64encode(content[at : at + PART_BYTES]) for at in range(0, len(content), PART_BYTES)]
    return b"".join([before, b'"audio": "', *parts, b'"', after])


def sentence_times(sentences: Sequence[Any], after_s: float = 0.0) -> list[SentenceTime]:
    """Timed sentences as JSON has them, `after_s` later, in milliseconds' precision."""
    return [
        SentenceTime(
            text=sentence.text, **_edges(sentence, after_s),
            words=[WordTime(text=word.text, **_edges(word, after_s)) for word in sentence.words],
        )
        for sentence in sentences
    ]  # fmt: skip


def _edges(timed: Any, after_s: float) -> dict[str, float]:
    return {"start_s": round(timed.start_s + after_s, 3), "end_s": round(timed.end_s + after_s, 3)}


def subtitles(sentences: Sequence[Any], output: str) -> str:
    """One cue a sentence, in SubRip's or WebVTT's form."""
    cues = [
        (f"{number}\n" if output == "srt" else "")
        + f"{_clock(sentence.start_s, output)} --> {_clock(sentence.end_s, output)}\n{_shown(sentence.text, output)}\n"
        for number, sentence in enumerate(sentences, 1)
    ]
    return ("WEBVTT\n\n" if output == "vtt" else "") + "\n".join(cues)


def _shown(text: str, output: str) -> str:
    # An empty line would end the cue, and WebVTT reads marks.
    line = " ".join(text.split())
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") if output == "vtt" else line


def _clock(at_s: float, output: str) -> str:
    milliseconds = round(at_s * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    point = "," if output == "srt" else "."
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"
