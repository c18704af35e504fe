"""Streaming lossy encoder: samples at any rate in, packets out, independent of the chunking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import OutputContainer

from backend.audio.resample import StreamResampler, resampled_length
from backend.errors import BadAudio, OutputError

MAX_CHANNELS = 2
RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
OPUS_RATES_HZ = (8000, 12000, 16000, 24000, 48000)


def most_mp3_kbps(rate_hz: int, n_channels: int) -> int:
    """Highest bitrate of the MPEG version with this sample rate."""
    return 64 if rate_hz <= 12_000 else 160 if rate_hz <= 24_000 else 320


def most_opus_kbps(rate_hz: int, n_channels: int) -> int:
    return 256 * n_channels


def most_aac_kbps(rate_hz: int, n_channels: int) -> int:
    """AAC allows at most 6 bits per sample in a block."""
    return 6 * rate_hz * n_channels // 1000


@dataclass(frozen=True, slots=True)
class Coding:
    """A libav codec: its sample format, rates, default bitrate per channel and bitrate bounds."""

    name: str
    codec: str
    layout: str
    rates_hz: tuple[int, ...]
    kbps_per_channel: int
    least_kbps: int
    most_kbps: Callable[[int, int], int]

    def legal_rate_hz(self, rate_hz: int) -> int:
        """Return the next supported rate at or above `rate_hz`, else the highest one."""
        return min((rate for rate in self.rates_hz if rate >= rate_hz), default=max(self.rates_hz))


CODINGS = {
    # The usual MP3 bitrate, more than 24 kHz speech needs; constant, so players can compute the duration.
    "mp3": Coding("MP3", "libmp3lame", "fltp", RATES_HZ, 128, 8, most_mp3_kbps),
    # Speech is transparent well below this; the margin is for music.
    "opus": Coding("Opus", "libopus", "flt", OPUS_RATES_HZ, 64, 6, most_opus_kbps),
    # This encoder needs about 1.5 times the bitrate of Opus for the same quality.
    "aac": Coding("AAC", "aac", "fltp", RATES_HZ, 96, 8, most_aac_kbps),
}


class StreamEncoder:
    """Encodes float32 chunks [C, N], as a stream of `container` if given.

    The default bitrate is that of the coding, or the maximum for this rate if lower. Raises `OutputError` for an
    unsupported channel count or bitrate.
    """

    def __init__(
        self, coding: Coding, from_hz: int, n_channels: int, bitrate_kbps: int | None = None,
        container: OutputContainer | None = None,
    ):  # fmt: skip
        if not 1 <= n_channels <= MAX_CHANNELS:
            raise OutputError(f"{coding.name} supports 1 or 2 channels; got {n_channels} channels. Mix down.")
        self.rate_hz = coding.legal_rate_hz(from_hz)
        self.n_channels, self._from_hz = n_channels, from_hz
        most_kbps = coding.most_kbps(self.rate_hz, n_channels)
        if bitrate_kbps is not None and not coding.least_kbps <= bitrate_kbps <= most_kbps:
            raise OutputError(
                f"The bitrate is {bitrate_kbps} kbps; {coding.name} takes {coding.least_kbps} to {most_kbps} kbps "
                f"at {self.rate_hz} Hz. Choose one of these."
            )
        self._resampler = StreamResampler(from_hz, self.rate_hz, n_channels)
        self._encode: Callable[[av.AudioFrame | None], list[av.Packet]]
        if container is None:
            context = AudioCodecContext.create(coding.codec, "w")
            assert isinstance(context, AudioCodecContext), context
            self._encode = context.encode
        else:
            track = container.add_stream(coding.codec, rate=self.rate_hz)
            assert isinstance(track, AudioStream), track
            context, self._encode = track.codec_context, track.encode
        context.sample_rate = self.rate_hz
        context.layout = "mono" if n_channels == 1 else "stereo"
        context.format = coding.layout
        context.bit_rate = 1000 * (bitrate_kbps or min(coding.kbps_per_channel * n_channels, most_kbps))
        context.time_base = Fraction(1, self.rate_hz)
        context.open(strict=False)
        self._context = context
        self._is_planar = context.format.is_planar
        # Samples of an incomplete frame.
        self._rest = np.zeros((n_channels, 0), np.float32)
        self.n_encoded = 0

    def length_of(self, n_samples: int) -> int:
        """Return the number of samples at `rate_hz` for `n_samples` pushed."""
        return resampled_length(n_samples, self._from_hz, self.rate_hz)

    def push(self, samples: np.ndarray) -> list[av.Packet]:
        """Add samples; returns the completed packets. Raises `BadAudio` for NaN."""
        if not np.isfinite(samples).all():
            raise BadAudio("Samples are NaN or infinite; expected finite values. Repair them first.")
        return self._take(self._resampler.push(samples), is_last=False)

    def finish(self) -> list[av.Packet]:
        """Return the remaining packets."""
        packets = self._take(self._resampler.finish(), is_last=True)
        # Do not flush an encoder without input.
        return packets + self._encode(None) if self.n_encoded else packets

    def _take(self, samples: np.ndarray, is_last: bool) -> list[av.Packet]:
        waiting = np.concatenate([self._rest, samples], axis=1)
        size = self._context.frame_size
        n_ready = waiting.shape[1] if is_last else waiting.shape[1] // size * size
        self._rest = waiting[:, n_ready:]
        packets: list[av.Packet] = []
        for start in range(0, n_ready, size):
            packets += self._encode(self._frame(waiting[:, start : min(start + size, n_ready)]))
        return packets

    def _frame(self, samples: np.ndarray) -> av.AudioFrame:
        clipped = np.clip(samples, -1.0, 1.0)
        layout = clipped if self._is_planar else clipped.T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(layout), format=self._context.format.name, layout=self._context.layout.name
        )
        frame.sample_rate, frame.time_base, frame.pts = self.rate_hz, self._context.time_base, self.n_encoded
        self.n_encoded += samples.shape[1]
        return frame
