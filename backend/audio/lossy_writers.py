"""Streaming writers of lossy formats: MP3, Ogg Opus, AAC in ADTS, and AAC in a fragmented MP4 (m4b).

Audio is resampled if the format does not support its rate. Ogg Opus stores its exact length, so it decodes to the
original number of samples; MP3 does if `n_samples` is known. A raw AAC stream starts with 1024 samples of priming; an
MP3 stream of unknown length with 1105.
"""

from __future__ import annotations

import av
import numpy as np

from backend.audio.lossy_encoder import CODINGS, StreamEncoder
from backend.audio.mp3 import gapless_frame
from backend.audio.sample_writer import SampleWriter

# Samples that LAME and every decoder insert before the audio.
MP3_ENCODER_DELAY = 576
MP3_DECODER_DELAY = 529
# Pages and fragments are emitted when full: small ones reduce latency and cost more. At 64 kbps, pages of 100 ms cost
# 4% more than pages of a second.
OGG_PAGE_US = 100_000
MP4_FRAGMENT_US = 500_000


class Mp3Writer(SampleWriter):
    """Constant-bitrate MP3; with `n_samples`, it starts with a gapless tag for the exact length."""

    def __init__(
        self, rate_hz: int, n_channels: int, n_samples: int | None = None, bitrate_kbps: int | None = None
    ):  # fmt: skip
        super().__init__(rate_hz, n_channels, n_samples)
        self._encoder = StreamEncoder(CODINGS["mp3"], rate_hz, n_channels, bitrate_kbps)
        self._n_frames = 0

    def _write(self, samples: np.ndarray) -> bytes:
        return self._frames(self._encoder.push(samples))

    def _close(self) -> bytes:
        # Drop trailing frames of silence that decoders do not need.
        return self._frames(self._encoder.finish(), n_needed=self._n_needed(self._encoder.n_encoded))

    def _frames(self, packets: list[av.Packet], n_needed: int | None = None) -> bytes:
        frames = [bytes(packet) for packet in packets]
        if n_needed is not None:
            frames = frames[: max(0, n_needed - self._n_frames)]
        if frames and not self._n_frames and self.n_samples is not None:
            frames.insert(0, self._tag(frames[0]))
            self._n_frames -= 1
        self._n_frames += len(frames)
        return b"".join(frames)

    def _tag(self, first: bytes) -> bytes:
        assert self.n_samples is not None
        n_samples = self._encoder.length_of(self.n_samples)
        n_frames = self._n_needed(n_samples)
        padding = n_frames * self._frame_samples - MP3_ENCODER_DELAY - n_samples
        return gapless_frame(first, n_frames, MP3_ENCODER_DELAY, padding)

    def _n_needed(self, n_samples: int) -> int:
        """Return the number of frames a decoder needs for `n_samples`."""
        # Some readers do not accept a file with a single frame.
        return max(2, -(-(n_samples + MP3_ENCODER_DELAY + MP3_DECODER_DELAY) // self._frame_samples))

    @property
    def _frame_samples(self) -> int:
        return 576 if self._encoder.rate_hz <= 24_000 else 1152


class MuxWriter(SampleWriter):
    """Writes packets of `coding` in a libav container without seeking."""

    coding: str
    container: str
    options: dict[str, str]

    def __init__(
        self, rate_hz: int, n_channels: int, n_samples: int | None = None, bitrate_kbps: int | None = None
    ):  # fmt: skip
        super().__init__(rate_hz, n_channels, n_samples)
        self._sink = _Sink()
        # bitexact also removes the random stream number and the date, so the output is deterministic.
        options = {"fflags": "bitexact", **self.options}
        self._file = av.open(self._sink, "w", format=self.container, options=options)
        self._encoder = StreamEncoder(CODINGS[self.coding], rate_hz, n_channels, bitrate_kbps, self._file)

    def _write(self, samples: np.ndarray) -> bytes:
        self._file.mux(self._encoder.push(samples))
        return self._sink.take()

    def _close(self) -> bytes:
        self._file.mux(self._encoder.finish())
        self._file.start_encoding()
        self._file.close()
        return self._sink.take()


class OpusWriter(MuxWriter):
    """Ogg Opus. Raises `OutputError` for more than two channels."""

    coding, container = "opus", "opus"
    options = {"page_duration": str(OGG_PAGE_US)}  # noqa: RUF012


class AacWriter(MuxWriter):
    """AAC with ADTS headers."""

    coding, container, options = "aac", "adts", {}


class M4bWriter(MuxWriter):
    """AAC in a fragmented MP4, playable while it is written. `audiobook.py` writes files with chapters."""

    coding, container = "aac", "mp4"
    options = {"movflags": "empty_moov+delay_moov+default_base_moof", "frag_duration": str(MP4_FRAGMENT_US)}  # noqa: RUF012


class _Sink:
    """Append-only file object for libav."""

    def __init__(self) -> None:
        self._ready = bytearray()

    def write(self, content: bytes) -> int:
        self._ready += content
        return len(content)

    def take(self) -> bytes:
        ready = bytes(self._ready)
        self._ready.clear()
        return ready
