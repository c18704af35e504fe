"""Transcoding of speech responses to a requested sample rate, bitrate or gain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from backend.api.dependencies import host_of
from backend.api.engine_host import EngineHost
from backend.api.speech.response import MEDIA_TYPES, SpeechRun, StreamingSpeechResponse, speak
from backend.audio.lossy_encoder import CODINGS
from backend.audio.pcm import from_int16, to_int16
from backend.audio.resample import StreamResampler, resampled_length
from backend.audio.waveform import Waveform
from backend.audio.writers import open_writer
from backend.errors import BadRequest
from backend.runtime.request import SpeechRequest

SAMPLE_BYTES = 2


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """Requested audio format. None uses the rate of the checkpoint or the default bitrate of the format."""

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
                f"{self.format} does not support a sample rate of {rate_hz} Hz; expected one of {rates}. Choose one."
            )
        if self.bitrate_kbps is not None and self.bitrate_kbps > coding.most_kbps(rate_hz, 1):
            raise BadRequest(
                f"{self.format} at {rate_hz} Hz supports at most {coding.most_kbps(rate_hz, 1)} kbps; got "
                f"{self.bitrate_kbps}. Choose a lower bitrate or a higher sample rate."
            )

    @property
    def is_native(self) -> bool:
        return self.rate_hz is None and self.bitrate_kbps is None and self.gain_db == 0

    def rate_from(self, rate_hz: int) -> int:
        """Returns the requested rate, else `rate_hz` or the next rate that supports the requested bitrate."""
        if self.rate_hz is not None:
            return self.rate_hz
        if self.bitrate_kbps is None or self.format not in CODINGS:
            return rate_hz
        coding = CODINGS[self.format]
        rates = [rate for rate in coding.rates_hz if coding.most_kbps(rate, 1) >= self.bitrate_kbps]
        return rate_hz if coding.legal_rate_hz(rate_hz) in rates else min(rate for rate in rates if rate >= rate_hz)


async def speak_as(
    request: Request, speech_request: SpeechRequest, output: OutputFormat, is_streaming: bool,
    ignored: tuple[str, ...] = (),
) -> Response:  # fmt: skip
    """Returns the response with the speech in `output` format. `ignored` fields are added to `X-Ignored-Params`."""
    response = await speak(request, speech_request, output.format if output.is_native else "pcm", is_streaming)
    if not output.is_native and "x-sample-rate" in response.headers:
        response = await _transcode(response, output, host_of(request))
    if ignored:
        names = [response.headers["x-ignored-params"]] if "x-ignored-params" in response.headers else []
        response.headers["X-Ignored-Params"] = ", ".join([*names, *ignored])
    return response


class Transcoder:
    """Transcodes a stream of 16-bit PCM bytes to another format."""

    def __init__(self, output: OutputFormat, rate_hz: int, n_channels: int, n_samples: int | None = None) -> None:
        self.rate_hz = output.rate_from(rate_hz)
        self._resampler = StreamResampler(rate_hz, self.rate_hz, n_channels)
        n_out = None if n_samples is None else resampled_length(n_samples, rate_hz, self.rate_hz)
        self._writer = open_writer(output.format, self.rate_hz, n_channels, n_out, output.bitrate_kbps)
        self._gain = np.float32(10 ** (output.gain_db / 20))
        self._n_channels, self._partial = n_channels, b""

    def push(self, content: bytes) -> bytes:
        """Returns the bytes ready after `content`, which may end inside a sample."""
        content = self._partial + content
        n_whole = len(content) - len(content) % (SAMPLE_BYTES * self._n_channels)
        self._partial = content[n_whole:]
        frames = np.frombuffer(content[:n_whole], "<i2").reshape(-1, self._n_channels).T
        return self._writer.push(self._resampler.push(from_int16(frames) * self._gain))

    def finish(self) -> bytes:
        return self._writer.push(self._resampler.finish()) + self._writer.finish()


def transcoded(whole: Waveform, output: OutputFormat) -> bytes:
    """Returns the bytes of a whole file in `output` format."""
    transcoder = Transcoder(output, whole.rate_hz, whole.n_channels, whole.n_samples)
    pcm = to_int16(whole.samples).T.astype("<i2").tobytes()
    return transcoder.push(pcm) + transcoder.finish()


async def _transcode(native: Response, output: OutputFormat, host: EngineHost) -> Response:
    rate_hz, n_channels = int(native.headers["x-sample-rate"]), int(native.headers["x-channels"])
    headers = {name: text for name, text in native.headers.items() if name not in ("content-type", "content-length")}
    headers["x-sample-rate"] = str(output.rate_from(rate_hz))
    headers["content-disposition"] = f'inline; filename="speech.{output.format}"'
    media_type = MEDIA_TYPES[output.format]
    if "content-length" not in native.headers:
        return TranscodedStream(native, Transcoder(output, rate_hz, n_channels), host, media_type, headers)
    pcm = bytes(native.body)
    transcoder = Transcoder(output, rate_hz, n_channels, len(pcm) // (SAMPLE_BYTES * n_channels))
    content = await host.run(lambda: transcoder.push(pcm) + transcoder.finish())
    return Response(content, media_type=media_type, headers=headers)


class TranscodedStream(Response):
    """A chunked response, transcoded while it is sent. Errors of the inner response propagate."""

    def __init__(
        self, inner: Response, transcoder: Transcoder, host: EngineHost, media_type: str, headers: dict[str, str]
    ) -> None:  # fmt: skip
        super().__init__(media_type=media_type, headers=headers)
        del self.headers["content-length"]
        self._inner, self._transcoder, self._host = inner, transcoder, host

    @property
    def speech(self) -> SpeechRun:
        """The speech in progress; its metrics are final after the last chunk."""
        assert isinstance(self._inner, StreamingSpeechResponse)
        return self._inner.speech

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transcoder, run = self._transcoder, self._host.run

        async def send_transcoded(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send({**message, "headers": self.raw_headers})
                return
            body, has_more = await run(transcoder.push, message.get("body", b"")), message.get("more_body", False)
            if not has_more:
                body += await run(transcoder.finish)
            if body or not has_more:
                await send({"type": "http.response.body", "body": body, "more_body": has_more})

        await self._inner(scope, receive, send_transcoded)
