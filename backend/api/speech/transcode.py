"""Speech at a rate, bitrate or volume of the caller's choice: the engine's own samples, coded anew on their way out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from backend.api.engine_host import EngineHost, host_of
from backend.api.speech.response import MEDIA_TYPES, speak
from backend.audio.lossy_encoder import CODINGS
from backend.audio.pcm import from_int16
from backend.audio.resample import StreamResampler, resampled_length
from backend.audio.writers import open_writer
from backend.errors import BadRequest
from backend.runtime.request import SpeechRequest

SAMPLE_BYTES = 2


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """How the sound is wanted. None leaves a number to the checkpoint or to the format."""

    format: str
    rate_hz: int | None = None
    bitrate_kbps: int | None = None
    gain_db: float = 0.0

    def __post_init__(self) -> None:
        if self.rate_hz is None or self.format not in CODINGS:
            return
        coding, rate_hz = CODINGS[self.format], self.rate_hz
        if rate_hz not in coding.rates_hz:
            rates = ", ".join(map(str, coding.rates_hz))
            raise BadRequest(
                f"{self.format} has no sample rate of {rate_hz} Hz; expected one of {rates}. Choose another."
            )
        if self.bitrate_kbps is not None and self.bitrate_kbps > coding.most_kbps(rate_hz, 1):
            raise BadRequest(
                f"{self.format} at {rate_hz} Hz has at most {coding.most_kbps(rate_hz, 1)} kbps; got "
                f"{self.bitrate_kbps}. Choose fewer, or a higher sample rate."
            )

    @property
    def is_plain(self) -> bool:
        return self.rate_hz is None and self.bitrate_kbps is None and self.gain_db == 0

    def rate_from(self, rate_hz: int) -> int:
        """The rate asked for; else the given one, or the next that the bitrate asked for can have."""
        if self.rate_hz is not None:
            return self.rate_hz
        if self.bitrate_kbps is None or self.format not in CODINGS:
            return rate_hz
        coding = CODINGS[self.format]
        rates = [rate for rate in coding.rates_hz if coding.most_kbps(rate, 1) >= self.bitrate_kbps]
        return rate_hz if coding.legal_rate_hz(rate_hz) in rates else min(rate for rate in rates if rate >= rate_hz)


async def speak_as(
    request: Request, wanted: SpeechRequest, shape: OutputFormat, is_streaming: bool, ignored: tuple[str, ...] = ()
) -> Response:
    """Answer with the speech in this shape. `ignored` names what of the request cannot be honored, for the header."""
    answer = await speak(request, wanted, shape.format if shape.is_plain else "pcm", is_streaming)
    if not shape.is_plain and "x-sample-rate" in answer.headers:
        answer = await _recoded(answer, shape, host_of(request))
    if ignored:
        told = [answer.headers["x-ignored-params"]] if "x-ignored-params" in answer.headers else []
        answer.headers["X-Ignored-Params"] = ", ".join([*told, *ignored])
    return answer


class Transcoder:
    """Turns 16-bit samples, given as bytes, into bytes of another shape."""

    def __init__(self, shape: OutputFormat, rate_hz: int, n_channels: int, n_samples: int | None = None) -> None:
        self.rate_hz = shape.rate_from(rate_hz)
        self._resampler = StreamResampler(rate_hz, self.rate_hz, n_channels)
        n_out = None if n_samples is None else resampled_length(n_samples, rate_hz, self.rate_hz)
        self._writer = open_writer(shape.format, self.rate_hz, n_channels, n_out, shape.bitrate_kbps)
        self._gain = np.float32(10 ** (shape.gain_db / 20))
        self._n_channels, self._held = n_channels, b""

    def push(self, content: bytes) -> bytes:
        """The bytes ready after the next samples, wherever those were cut."""
        content = self._held + content
        n_whole = len(content) - len(content) % (SAMPLE_BYTES * self._n_channels)
        self._held = content[n_whole:]
        frames = np.frombuffer(content[:n_whole], "<i2").reshape(-1, self._n_channels).T
        return self._writer.push(self._resampler.push(from_int16(frames) * self._gain))

    def finish(self) -> bytes:
        return self._writer.push(self._resampler.finish()) + self._writer.finish()


async def _recoded(answer: Response, shape: OutputFormat, host: EngineHost) -> Response:
    rate_hz, n_channels = int(answer.headers["x-sample-rate"]), int(answer.headers["x-channels"])
    own = {
        "X-Sample-Rate": str(shape.rate_from(rate_hz)),
        "Content-Disposition": f'inline; filename="speech.{shape.format}"',
    }
    headers = {name: told for name, told in answer.headers.items() if name not in ("content-type", "content-length")}
    headers |= {name.lower(): told for name, told in own.items()}
    if "content-length" not in answer.headers:
        return TranscodedStream(
            answer, Transcoder(shape, rate_hz, n_channels), host, MEDIA_TYPES[shape.format], headers
        )
    pcm = bytes(answer.body)
    recoder = Transcoder(shape, rate_hz, n_channels, len(pcm) // (SAMPLE_BYTES * n_channels))
    content = await host.run(lambda: recoder.push(pcm) + recoder.finish())
    return Response(content, media_type=MEDIA_TYPES[shape.format], headers=headers)


class TranscodedStream(Response):
    """A chunked answer recoded while it passes. Its failures pass as they are."""

    def __init__(
        self, inner: Response, recoder: Transcoder, host: EngineHost, media_type: str, headers: dict[str, str]
    ) -> None:  # fmt: skip
        super().__init__(media_type=media_type, headers=headers)
        del self.headers["content-length"]
        self._inner, self._recoder, self._host = inner, recoder, host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        recoder, run = self._recoder, self._host.run

        async def recoded(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send({**message, "headers": self.raw_headers})
                return
            body, has_more = await run(recoder.push, message.get("body", b"")), message.get("more_body", False)
            if not has_more:
                body += await run(recoder.finish)
            if body or not has_more:
                await send({"type": "http.response.body", "body": body, "more_body": has_more})

        await self._inner(scope, receive, recoded)
