"""Sound files: read with limits that hold while decoding, written whole or not at all."""

from __future__ import annotations

import io
import os
import secrets
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile

from backend.audio.file_sniffing import require_complete, sound_format
from backend.audio.lossy_encoder import MAX_CHANNELS as MAX_LOSSY_CHANNELS
from backend.audio.mp3 import counted_mp3
from backend.audio.pcm import to_int16
from backend.audio.resample import resample
from backend.audio.waveform import Waveform
from backend.audio.writers import LOSSY, open_writer
from backend.errors import BadAudio, LimitExceeded, OutputError, not_written

MAX_BYTES = 512 * 2**20
MAX_CHANNELS = 64
RATES_HZ = range(1000, 768_001)
# Values decoded at a time; bounds what a lying header can cost beyond the limits.
BLOCK_VALUES = 1 << 17
# MP3 decoding may end some frames early: delay and padding, and frames whose bits lie before the start.
MP3_SLACK_SAMPLES = 10 * 1152
UNKNOWN_FRAMES = 2**62

WAV_CODINGS = {"PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"}


class AudioEncoding(NamedTuple):
    """How a suffix is written. An empty `rates_hz` takes any rate; otherwise the next higher legal one is used."""

    container: str
    coding: str
    max_channels: int
    rates_hz: tuple[int, ...] = ()
    is_integer: bool = True


# What libsndfile writes; it can go back into the file, so a FLAC gets its checksum.
ENCODINGS = {
    "wav": AudioEncoding("WAV", "PCM_16", MAX_CHANNELS),
    "flac": AudioEncoding("FLAC", "PCM_16", 8),
    "ogg": AudioEncoding("OGG", "VORBIS", 8, (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000), is_integer=False),
}
# Every format a file can have.
FILE_FORMATS = (*ENCODINGS, *LOSSY)


def read_audio(
    source: Path | bytes | BinaryIO, *, max_duration_s: float = 600.0, max_bytes: int = MAX_BYTES
) -> Waveform:
    """The whole sound of a WAV, FLAC, Ogg (Vorbis or Opus) or MP3 file, at its own rate.

    Both limits hold while decoding, whatever the header says: `max_bytes` for the file and for the
    decoded float32 samples, `max_duration_s` for the sound. Raises `LimitExceeded` past either and
    `BadAudio` for foreign, damaged, truncated or empty content and for NaN.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return _read_stream(_Source(io.BytesIO(source)), max_duration_s, max_bytes)
    if isinstance(source, str | Path):
        if not Path(source).is_file():
            raise BadAudio("There is no sound file at the given path. Check the path.")
        try:
            with open(source, "rb") as file:
                return _read_stream(_Source(file), max_duration_s, max_bytes)
        except OSError as error:
            raise BadAudio(f"The sound file cannot be opened ({error.strerror}). Check its permissions.") from None
    # An upload may not be seekable, and may be endless: take one byte more than allowed, no more.
    return _read_stream(_Source(io.BytesIO(source.read(max_bytes + 1))), max_duration_s, max_bytes)


def write_audio(path: Path, waveform: Waveform, format: str | None = None, bitrate_kbps: int | None = None) -> None:
    """Write a file that is complete or absent: one of `FILE_FORMATS`, by suffix or `format`.

    Samples outside -1...1 clip; wav and flac hold 16 bits. Lossy formats resample to their next legal rate and take
    their usual bitrate unless told. Raises `OutputError` for an unknown format, a bitrate it lacks or a place that
    cannot be written, `BadAudio` for an empty waveform or NaN.
    """
    path = Path(path)
    name = (format or path.suffix.removeprefix(".")).lower()
    _require_encodable(waveform, name)
    if path.is_dir() or (path.exists() and not path.is_file()):
        raise OutputError("The output path is a directory or a device; expected a file name. Add one.")
    if not path.parent.is_dir():
        raise OutputError("The folder of the output does not exist. Create it first.")
    content = encode_audio(waveform, name, bitrate_kbps)
    partial = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with open(partial, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise not_written("The output cannot be written", error, "Check the folder and free space.") from None
    finally:
        partial.unlink(missing_ok=True)


def encode_audio(waveform: Waveform, format: str, bitrate_kbps: int | None = None) -> bytes:
    """The bytes of a whole file of `format`, as `write_audio` writes it; raises as it does."""
    _require_encodable(waveform, format)
    # A format without a bitrate to choose is refused there.
    if format in LOSSY or bitrate_kbps is not None:
        writer = open_writer(format, waveform.rate_hz, waveform.n_channels, waveform.n_samples, bitrate_kbps)
        return writer.push(waveform.samples) + writer.finish()
    encoding = ENCODINGS[format]
    if encoding.rates_hz and waveform.rate_hz not in encoding.rates_hz:
        legal = [rate for rate in encoding.rates_hz if rate >= waveform.rate_hz]
        waveform = resample(waveform, legal[0] if legal else encoding.rates_hz[-1])
    try:
        return _encoded(waveform, encoding)
    except (soundfile.SoundFileError, RuntimeError):
        raise OutputError(
            f"The {format} encoder refused {waveform.rate_hz} Hz, {waveform.n_channels} channels. Choose another format."
        ) from None


def _require_encodable(waveform: Waveform, format: str) -> None:
    if format not in FILE_FORMATS:
        raise OutputError(
            f"Cannot write format '{format}'; the formats are {', '.join(FILE_FORMATS)}. Choose one of them."
        )
    max_channels = ENCODINGS[format].max_channels if format in ENCODINGS else MAX_LOSSY_CHANNELS
    if waveform.n_channels > max_channels:
        raise OutputError(f"{format} holds {max_channels} channels at most; got {waveform.n_channels}. Mix down.")
    if waveform.n_samples == 0:
        raise BadAudio("The waveform has no samples; there is nothing to write.")
    waveform.require_finite()


class _Source:
    """The file object given to the decoder: a hostile seek must not raise inside a native callback."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.size_bytes = file.seek(0, os.SEEK_END)
        file.seek(0)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = (0, self._file.tell(), self.size_bytes)[whence]
        return self._file.seek(min(max(base + offset, 0), self.size_bytes))

    def tell(self) -> int:
        return self._file.tell()

    def read(self, n_bytes: int = -1) -> bytes:
        return self._file.read(n_bytes)

    def readinto(self, buffer: memoryview) -> int:
        return self._file.readinto(buffer)  # type: ignore[attr-defined]

    def write(self, content: bytes) -> int:
        raise io.UnsupportedOperation("read only")


class _ForwardFile(soundfile.SoundFile):
    """A decoder that only moves forward.

    The library otherwise trusts the header's frame count and seeks after every read, which fails on
    FLAC without a total and is inexact in MP3.
    """

    def seekable(self) -> bool:
        return False


def _read_stream(source: _Source, max_duration_s: float, max_bytes: int) -> Waveform:
    if source.size_bytes > max_bytes:
        raise LimitExceeded(f"The sound file is larger than the limit of {max_bytes} bytes. Send a shorter piece.")
    if source.size_bytes == 0:
        raise BadAudio("The sound file is empty. Record or export it again.")
    format = sound_format(source.read(12))
    if format == "mp3":
        source.seek(0)
        source = _Source(io.BytesIO(counted_mp3(source.read(), max_duration_s)))
    else:
        require_complete(source, format, source.size_bytes)
    source.seek(0)
    try:
        with _ForwardFile(source) as file:
            return _decode(file, format, max_duration_s, max_bytes)
    except (soundfile.SoundFileError, RuntimeError, ValueError):
        # The library's text would show our file object or path, and says nothing a user can act on.
        raise BadAudio(f"The {format} file is damaged or of a kind not supported here. Export it again.") from None


def _decode(file: soundfile.SoundFile, format: str, max_duration_s: float, max_bytes: int) -> Waveform:
    rate_hz, n_channels = file.samplerate, file.channels
    if rate_hz not in RATES_HZ or not 1 <= n_channels <= MAX_CHANNELS:
        raise BadAudio(
            f"The file has {n_channels} channels at {rate_hz} Hz; expected 1 to {MAX_CHANNELS} channels at "
            f"{RATES_HZ[0]} to {RATES_HZ[-1]} Hz. Export it again."
        )
    if format == "wav" and file.subtype not in WAV_CODINGS:
        raise BadAudio("The WAV file is compressed in a way not supported here. Export it as PCM.")
    block = max(1, BLOCK_VALUES // n_channels)
    blocks: list[np.ndarray] = []
    n_samples = 0
    while True:
        samples = file.read(block, dtype="float32", always_2d=True)
        if not len(samples):
            break
        n_samples += len(samples)
        if n_samples > max_duration_s * rate_hz:
            raise LimitExceeded(
                f"The sound is longer than the limit of {max_duration_s:g} s. Cut it, or raise the limit."
            )
        if n_samples * n_channels * 4 > max_bytes:
            raise LimitExceeded(
                f"The sound decodes to more than the limit of {max_bytes} bytes. Cut it or mix it down."
            )
        if not np.isfinite(samples).all():
            raise BadAudio("The sound contains NaN or infinite samples. Repair or export it again.")
        blocks.append(np.ascontiguousarray(samples.T))
    if n_samples == 0:
        raise BadAudio(f"The {format} file holds no samples. Record or export it again.")
    slack = MP3_SLACK_SAMPLES if format == "mp3" else 0
    # A streamed FLAC has no total in its header; the library then reports the largest count there is.
    if n_samples + slack < file.frames < UNKNOWN_FRAMES:
        raise BadAudio(
            f"The {format} file promises {file.frames} samples and holds {n_samples}: it was cut off. Export it again."
        )
    return Waveform(np.concatenate(blocks, axis=1), rate_hz)


def _encoded(waveform: Waveform, encoding: AudioEncoding) -> bytes:
    # In memory: a full disk inside the library's write callback would go unnoticed.
    target = io.BytesIO()
    with soundfile.SoundFile(
        target, "w", samplerate=waveform.rate_hz, channels=waveform.n_channels,
        format=encoding.container, subtype=encoding.coding,
    ) as file:  # fmt: skip
        # In pieces: the Vorbis encoder keeps a whole write on the stack and dies of a long one.
        for start in range(0, waveform.n_samples, 1 << 16):
            piece = waveform.samples[:, start : start + (1 << 16)].T
            file.write(to_int16(piece) if encoding.is_integer else np.clip(piece, -1.0, 1.0))
    return target.getvalue()
