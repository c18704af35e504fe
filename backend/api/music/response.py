"""Music as an HTTP response: whole, streamed, or an archive with stems and MIDI."""

from __future__ import annotations

import io
import json
import logging
import zipfile
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backend.api.music.run import MusicRun
from backend.api.speech.headers import header_text
from backend.api.speech.response import CLIENT_CLOSED_REQUEST, MEDIA_TYPES, StreamAborted, encoded, on_disconnect
from backend.audio.waveform import Waveform
from backend.audio.writers import open_writer
from backend.errors import BadRequest, Cancelled, LimitExceeded, PhonogramError
from backend.pipeline.music.engine import MusicChunk, MusicRequest, MusicStream

log = logging.getLogger(__name__)

# A whole response is kept in memory: 50 MB of 16-bit stereo. Longer pieces are streamed.
MAX_WHOLE_S = 300.0
STREAMED_FORMATS = tuple(name for name in MEDIA_TYPES if name != "ogg")
HEADERS = {
    "X-Sample-Rate": "Sample rate in Hz.",
    "X-Channels": "Number of channels.",
    "X-Audio-Seconds": "Duration of the piece.",
    "X-Seed": "The seed used; it reproduces the same piece.",
    "X-Music-Labels": "Tempo, key, meter, genre, mood and instruments as JSON; `%` and non-ASCII percent-encoded.",
    "X-Not-Understood": "Words of the prompt that changed nothing, comma-separated; encoded like the labels.",
}
LABELS = ("tempo_bpm", "key", "meter", "genre", "mood", "instruments", "duration_s")


def facts_of(stream: MusicStream) -> dict[str, Any]:
    """The labels a client sees of a piece."""
    return {name: stream.labels[name] for name in LABELS if name in stream.labels}


async def play(request: Request, music: MusicRequest, engine: str, format: str, is_streaming: bool) -> Response:
    """Returns the response with the piece. Waits for the first chunk, so that errors get their own status."""
    if is_streaming and format not in STREAMED_FORMATS:
        raise BadRequest(f"{format} cannot be streamed; expected one of {', '.join(STREAMED_FORMATS)}.", "format")
    run = MusicRun(request, music, engine)
    await run.__aenter__()
    response: StreamingMusicResponse | None = None
    try:
        async with on_disconnect(request.receive, run.cancel):
            stream = await run.begin()
            if not is_streaming:
                _require_short(stream)
            first = await run.next()
            assert first is not None
            if not is_streaming:
                chunks = [first, *await _rest(run)]
                content = await run.run(encoded, joined(chunks), format)
                return Response(content, media_type=MEDIA_TYPES[format], headers=_headers(stream, music, format))
        response = StreamingMusicResponse(run, music, first, format)
        return response
    except Cancelled:
        if not run.is_cancelled:
            raise
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    finally:
        if response is None:
            await run.__aexit__(None, None, None)


async def archive(request: Request, music: MusicRequest, engine: str) -> Response:
    """Returns a ZIP file with the mix, one WAV file an instrument, the MIDI file and the labels."""
    async with MusicRun(request, music, engine) as run:
        try:
            async with on_disconnect(request.receive, run.cancel):
                stream = await run.begin()
                _require_short(stream)
                chunks = await _rest(run)
                content = await run.run(_zipped, stream, chunks)
        except Cancelled:
            if not run.is_cancelled:
                raise
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        headers = _headers(stream, music, "zip")
        return Response(content, media_type="application/zip", headers=headers)


def joined(chunks: list[MusicChunk]) -> Waveform:
    """The mix of all chunks."""
    return Waveform(np.concatenate([chunk.mix.samples for chunk in chunks], axis=1), chunks[0].mix.rate_hz)


class StreamingMusicResponse(Response):
    """A chunked response. A failure after its start aborts the body, so that it cannot pass for a complete file."""

    def __init__(self, run: MusicRun, music: MusicRequest, first: MusicChunk, format: str) -> None:
        super().__init__(media_type=MEDIA_TYPES[format], headers=_headers(run.stream, music, format))
        del self.headers["content-length"]
        self._run, self._first = run, first
        rate_hz, n_channels = first.mix.rate_hz, first.mix.n_channels
        self._writer = open_writer(format, rate_hz, n_channels, round(run.stream.duration_s * rate_hz))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        run = self._run
        try:
            async with on_disconnect(receive, run.cancel):
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                chunk: MusicChunk | None = self._first
                while chunk is not None:
                    body = await run.run(self._writer.push, chunk.mix.samples)
                    if body:
                        await send({"type": "http.response.body", "body": body, "more_body": True})
                    chunk = await run.next()
                body = await run.run(self._writer.finish)
                await send({"type": "http.response.body", "body": body, "more_body": False})
        except PhonogramError as error:
            if not run.is_cancelled:
                log.warning("A piece of music failed after its start: %s", error)
                raise StreamAborted(str(error)) from error
        finally:
            await run.__aexit__(None, None, None)


async def _rest(run: MusicRun) -> list[MusicChunk]:
    chunks = []
    while (chunk := await run.next()) is not None:
        chunks.append(chunk)
    return chunks


def _require_short(stream: MusicStream) -> None:
    if stream.duration_s > MAX_WHOLE_S:
        raise LimitExceeded(
            f"The piece is {stream.duration_s:g} s long; a whole response has at most {MAX_WHOLE_S:g} s. "
            "Use `stream`, or ask for less."
        )


def _headers(stream: MusicStream, music: MusicRequest, format: str) -> dict[str, str]:
    return {
        "X-Sample-Rate": str(stream.sample_rate_hz),
        "X-Channels": str(stream.n_channels),
        "X-Audio-Seconds": f"{stream.duration_s:.3f}",
        "X-Seed": str(music.seed),
        "X-Music-Labels": header_text(json.dumps(facts_of(stream))),
        "X-Not-Understood": header_text(", ".join(stream.not_understood)),
        "Content-Disposition": f'inline; filename="music.{format}"',
    }


def _zipped(stream: MusicStream, chunks: list[MusicChunk]) -> bytes:
    content = io.BytesIO()
    # Sound does not get smaller by deflating; storing it keeps the processor free.
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as zipped:
        zipped.writestr("mix.wav", encoded(joined(chunks), "wav"))
        for i, name in enumerate(stream.stem_names):
            samples = np.concatenate([chunk.stems[i].samples for chunk in chunks], axis=1)
            zipped.writestr(f"stems/{name}.wav", encoded(Waveform(samples, chunks[0].mix.rate_hz), "wav"))
        if stream.midi is not None:
            zipped.writestr("score.mid", stream.midi)
        zipped.writestr("labels.json", json.dumps(stream.labels, indent=1, default=str))
    return content.getvalue()
