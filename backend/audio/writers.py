"""Streaming writers: samples in, bytes of a file out, without seeking.

The joined bytes are a valid file and do not depend on the chunking.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Protocol

import numpy as np
import soundfile

from backend.audio.lossy_writers import AacWriter, M4bWriter, Mp3Writer, MuxWriter, OpusWriter
from backend.audio.pcm import to_int16
from backend.audio.sample_writer import SampleWriter
from backend.errors import OutputError

UNKNOWN_32 = 0xFFFFFFFF
WAV_HEADER_BYTES = 44
# At byte 18 of a FLAC file, STREAMINFO packs 20 bits of rate, 3 of channels, 5 of width and 36 of total samples.
FLAC_STREAMINFO_BYTES = 42
FLAC_TOTAL = slice(18, 26)
FLAC_MAX_TOTAL = 2**36 - 1


class Writer(Protocol):
    """`push` takes float32 samples [C, N] and returns the bytes that are ready; `finish` returns the rest."""

    def push(self, samples: np.ndarray) -> bytes: ...

    def finish(self) -> bytes: ...


def open_writer(
    format: str, rate_hz: int, n_channels: int, n_samples: int | None = None, bitrate_kbps: int | None = None
) -> Writer:
    """Open a writer of `format` (a key of `FORMATS`).

    `n_samples` is the total per channel, if known: it is written to the header, and `finish` raises if it was wrong.
    `bitrate_kbps` applies to the formats of `LOSSY`; None takes the default. Raises `OutputError` for an unknown
    format or unsupported parameters.
    """
    if format not in FORMATS:
        raise OutputError(f"The format is '{format}'; expected one of {', '.join(FORMATS)}. Choose one of them.")
    if rate_hz < 1 or n_channels < 1:
        raise OutputError(f"Cannot write {n_channels} channels at {rate_hz} Hz; both must be positive.")
    if bitrate_kbps is None:
        return FORMATS[format](rate_hz, n_channels, n_samples)
    if format not in LOSSY:
        raise OutputError(f"'{format}' has no bitrate setting; only {', '.join(LOSSY)} have. Leave it out.")
    return LOSSY[format](rate_hz, n_channels, n_samples, bitrate_kbps)


class PcmWriter(SampleWriter):
    """Raw signed 16-bit little-endian samples, interleaved, without a header."""

    def _write(self, samples: np.ndarray) -> bytes:
        return self._pack(np.ascontiguousarray(to_int16(samples).T, dtype="<i2"))

    def _pack(self, frames: np.ndarray) -> bytes:
        """Encode interleaved int16 [N, C]; returns the bytes that are ready."""
        return frames.tobytes()


class WavWriter(PcmWriter):
    """16-bit WAV; the header sizes are 0xFFFFFFFF if the length is unknown or over 4 GB."""

    def __init__(self, rate_hz: int, n_channels: int, n_samples: int | None = None):
        super().__init__(rate_hz, n_channels, n_samples)
        if n_channels * 2 > 0xFFFF or rate_hz * n_channels * 2 > UNKNOWN_32:
            raise OutputError(f"WAV cannot hold {n_channels} channels at {rate_hz} Hz. Use fewer channels.")
        self._header = wav_header(rate_hz, n_channels, n_samples)

    def _pack(self, frames: np.ndarray) -> bytes:
        return self._take_header() + frames.tobytes()

    def _close(self) -> bytes:
        return self._take_header()

    def _take_header(self) -> bytes:
        header, self._header = self._header, b""
        return header


class FlacWriter(PcmWriter):
    """16-bit FLAC in blocks of about 4096 samples; without `n_samples`, the header has no total."""

    def __init__(self, rate_hz: int, n_channels: int, n_samples: int | None = None):
        super().__init__(rate_hz, n_channels, n_samples)
        self._sink = _ForwardSink()
        try:
            self._file = soundfile.SoundFile(self._sink, "w", rate_hz, n_channels, "PCM_16", format="FLAC")
        except (soundfile.SoundFileError, ValueError):
            raise OutputError(
                f"FLAC does not support {n_channels} channels at {rate_hz} Hz. Use WAV, or resample."
            ) from None
        self._is_started = False

    def _pack(self, frames: np.ndarray) -> bytes:
        # The library writes the header with the first samples and ignores an empty write.
        if len(frames):
            self._file.write(frames)
        return self._take()

    def _close(self) -> bytes:
        self._file.close()
        tail = self._take()
        # The library writes nothing without samples.
        return tail if self._is_started else flac_header(self.rate_hz, self.n_channels)

    def _take(self) -> bytes:
        piece = self._sink.take()
        # The library writes the 42 bytes of magic and STREAMINFO in one piece.
        if not self._is_started and len(piece) >= FLAC_STREAMINFO_BYTES:
            self._is_started = True
            if self.n_samples is not None and self.n_samples <= FLAC_MAX_TOTAL:
                packed = int.from_bytes(piece[FLAC_TOTAL], "big") >> 36 << 36
                total = (packed | self.n_samples).to_bytes(8, "big")
                piece = piece[: FLAC_TOTAL.start] + total + piece[FLAC_TOTAL.stop :]
        return piece


class _ForwardSink:
    """File object for libsndfile that keeps appended bytes and drops rewritten ones.

    On closing, the library seeks back to fill in totals and a checksum; those bytes were sent already, and the
    placeholders are legal ("unknown").
    """

    def __init__(self) -> None:
        self._ready = bytearray()
        self._end = 0
        self._position = 0

    def take(self) -> bytes:
        ready = bytes(self._ready)
        self._ready.clear()
        return ready

    def write(self, content: bytes) -> int:
        n_old = max(0, min(self._end - self._position, len(content)))
        self._ready += content[n_old:]
        self._position += len(content)
        self._end = max(self._end, self._position)
        return len(content)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = (0, self._position, self._end)[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, n_bytes: int = -1) -> bytes:
        return b""


def wav_header(rate_hz: int, n_channels: int, n_samples: int | None = None) -> bytes:
    """Return the 44-byte header of a 16-bit WAV file."""
    size = UNKNOWN_32 if n_samples is None else n_samples * n_channels * 2
    is_known = size + WAV_HEADER_BYTES - 8 < UNKNOWN_32
    riff_size, data_size = (size + WAV_HEADER_BYTES - 8, size) if is_known else (UNKNOWN_32, UNKNOWN_32)
    coding = (1, n_channels, rate_hz, rate_hz * n_channels * 2, n_channels * 2, 16)
    return struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", riff_size, b"WAVE", b"fmt ", 16, *coding, b"data", data_size)


def flac_header(rate_hz: int, n_channels: int) -> bytes:
    """Return the 42 bytes of magic and STREAMINFO of a FLAC file of unknown length."""
    packed = rate_hz << 44 | (n_channels - 1) << 41 | 15 << 36
    block_sizes = struct.pack(">HH", 4096, 4096)
    return b"fLaC\x80\0\0\x22" + block_sizes + bytes(6) + packed.to_bytes(8, "big") + bytes(16)


LOSSY: dict[str, type[Mp3Writer] | type[MuxWriter]] = {
    "mp3": Mp3Writer,
    "opus": OpusWriter,
    "aac": AacWriter,
    "m4b": M4bWriter,
}
FORMATS: dict[str, Callable[[int, int, int | None], Writer]] = {
    "wav": WavWriter,
    "pcm": PcmWriter,
    "flac": FlacWriter,
    **LOSSY,
}
