"""Audio files: reading with limits enforced during decoding, and atomic writing."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile

from backend.atomic_file import write_atomically
from backend.audio.file_sniffing import audio_format, require_complete
from backend.audio.lossy_encoder import MAX_CHANNELS as MAX_LOSSY_CHANNELS
from backend.audio.mp3 import counted_mp3
from backend.audio.pcm import to_int16
from backend.audio.resample import resample
from backend.audio.waveform import Waveform
from backend.audio.writers import LOSSY, open_writer
from backend.errors import BadAudio, LimitExceeded, OutputError, write_error

MAX_BYTES = 512 * 2**20
MAX_CHANNELS = 64
RATES_HZ = range(1000, 768_001)
# Values decoded at a time; bounds the cost of a false header beyond the limits.
BLOCK_VALUES = 1 << 17
# MP3 decoding may end some frames early: delay, padding, and frames that need the bit reservoir before the start.
MP3_SLACK_SAMPLES = 10 * 1152
UNKNOWN_FRAMES = 2**62

WAV_CODINGS = {"PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"}


class AudioEncoding(NamedTuple):
    """Encoding of a file suffix. An empty `rates_hz` allows any rate; otherwise the next higher legal one is used."""

    container: str
    coding: str
    max_channels: int
    rates_hz: tuple[int, ...] = ()
    is_integer: bool = True


# Written by libsndfile, which can seek back, so a FLAC file gets its checksum.
ENCODINGS = {
    "wav": AudioEncoding("WAV", "PCM_16", MAX_CHANNELS),
    "flac": AudioEncoding("FLAC", "PCM_16", 8),
    "ogg": AudioEncoding("OGG", "VORBIS", 8, (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000), is_integer=False),
}
# All supported output formats.
FILE_FORMATS = (*ENCODINGS, *LOSSY)


def read_audio(
    source: Path | bytes | BinaryIO, *, max_duration_s: float = 600.0, max_bytes: int = MAX_BYTES
) -> Waveform:
    """Read a WAV, FLAC, Ogg (Vorbis or Opus) or MP3 file at its native sample rate.

    Both limits are enforced during decoding, whatever the header says: `max_bytes` for the file and for the decoded
    float32 samples, `max_duration_s` for the audio. Raises `LimitExceeded` past either, and `BadAudio` for unsupported,
    damaged, truncated or empty content and for NaN.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return _read_stream(_Source(io.BytesIO(source)), max_duration_s, max_bytes)
    if isinstance(source, str | Path):
        if not Path(source).is_file():
            raise BadAudio("There is no audio file at the given path. Check the path.")
        try:
            with open(source, "rb") as file:
                return _read_stream(_Source(file), max_duration_s, max_bytes)
        except OSError as error:
            raise BadAudio(f"The audio file cannot be opened ({error.strerror}). Check its permissions.") from None
    # An upload may be unseekable and endless: read at most one byte more than allowed.
    return _read_stream(_Source(io.BytesIO(source.read(max_bytes + 1))), max_duration_s, max_bytes)


def write_audio(path: Path, waveform: Waveform, format: str | None = None, bitrate_kbps: int | None = None) -> None:
    """Write an audio file atomically in one of `FILE_FORMATS`, chosen by suffix or `format`.

    Samples outside -1...1 are clipped; wav and flac are 16-bit. Lossy formats resample to their next legal rate and
    use their default bitrate unless `bitrate_kbps` is given. Raises `OutputError` for an unknown format, an
    unsupported bitrate or an unwritable path, and `BadAudio` for an empty waveform or NaN.
    """
    path = Path(path)
    name = (format or path.suffix.removeprefix(".")).lower()
    _require_encodable(waveform, name)
    if path.is_dir() or (path.exists() and not path.is_file()):
        raise OutputError("The output path is a directory or a device; expected a file name. Add one.")
    if not path.parent.is_dir():
        raise OutputError("The folder of the output does not exist. Create it first.")
    content = encode_audio(waveform, name, bitrate_kbps)
    try:
        write_atomically(path, content, is_durable=True)
    except OSError as error:
        raise write_error("The output cannot be written", error, "Check the folder and free space.") from None


def encode_audio(waveform: Waveform, format: str, bitrate_kbps: int | None = None) -> bytes:
    """Encode audio to the bytes of a file, with the same formats and errors as `write_audio`."""
    _require_encodable(waveform, format)
    # `open_writer` rejects a bitrate for formats without one.
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
            f"The {format} encoder does not support {waveform.rate_hz} Hz, {waveform.n_channels} channels. Choose another "
            "format."
        ) from None


def _require_encodable(waveform: Waveform, format: str) -> None:
    if format not in FILE_FORMATS:
        raise OutputError(f"The format is '{format}'; expected one of {', '.join(FILE_FORMATS)}. Choose one of them.")
    max_channels = ENCODINGS[format].max_channels if format in ENCODINGS else MAX_LOSSY_CHANNELS
    if waveform.n_channels > max_channels:
        raise OutputError(f"{format} supports at most {max_channels} channels; got {waveform.n_channels}. Mix down.")
    if waveform.n_samples == 0:
        raise BadAudio("The waveform has no samples; there is nothing to write.")
    waveform.require_finite()


class _Source:
    """File object for the decoder; out-of-range seeks are clamped, since a native callback must not raise."""

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
    """A decoder that only reads forward.

    Otherwise libsndfile trusts the header's frame count and seeks after every read, which fails for FLAC without a
    total and is inexact for MP3.
    """

    def seekable(self) -> bool:
        return False


def _read_stream(source: _Source, max_duration_s: float, max_bytes: int) -> Waveform:
    if source.size_bytes > max_bytes:
        raise LimitExceeded(f"The audio file is larger than the limit of {max_bytes} bytes. Send a shorter one.")
    if source.size_bytes == 0:
        raise BadAudio("The audio file is empty. Record or export it again.")
    format = audio_format(source.read(12))
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
        # The library's message shows a file object or path and does not help users.
        raise BadAudio(f"The {format} file is damaged or uses an unsupported encoding. Export it again.") from None


def _decode(file: soundfile.SoundFile, format: str, max_duration_s: float, max_bytes: int) -> Waveform:
    rate_hz, n_channels = file.samplerate, file.channels
    if rate_hz not in RATES_HZ or not 1 <= n_channels <= MAX_CHANNELS:
        raise BadAudio(
            f"The file has {n_channels} channels at {rate_hz} Hz; expected 1 to {MAX_CHANNELS} channels at "
            f"{RATES_HZ[0]} to {RATES_HZ[-1]} Hz. Export it again."
        )
    if format == "wav" and file.subtype not in WAV_CODINGS:
        raise BadAudio("The WAV file uses an unsupported compression. Export it as PCM.")
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
                f"The audio is longer than the limit of {max_duration_s:g} s. Cut it, or raise the limit."
            )
        if n_samples * n_channels * 4 > max_bytes:
            raise LimitExceeded(
                f"The audio decodes to more than the limit of {max_bytes} bytes. Cut it or mix it down."
            )
        if not np.isfinite(samples).all():
            raise BadAudio("The audio contains NaN or infinite samples. Repair or export it again.")
        blocks.append(np.ascontiguousarray(samples.T))
    if n_samples == 0:
        raise BadAudio(f"The {format} file has no samples. Record or export it again.")
    slack = MP3_SLACK_SAMPLES if format == "mp3" else 0
    # A streamed FLAC has no total in its header; the library then reports the largest possible count.
    if n_samples + slack < file.frames < UNKNOWN_FRAMES:
        raise BadAudio(
            f"The {format} header gives {file.frames} samples; the file has {n_samples}: it is truncated. Export it again."
        )
    return Waveform(np.concatenate(blocks, axis=1), rate_hz)


def _encoded(waveform: Waveform, encoding: AudioEncoding) -> bytes:
    # In memory: libsndfile's write callback would not report a full disk.
    target = io.BytesIO()
    with soundfile.SoundFile(
        target, "w", samplerate=waveform.rate_hz, channels=waveform.n_channels,
        format=encoding.container, subtype=encoding.coding,
    ) as file:  # fmt: skip
        # In pieces: the Vorbis encoder copies a whole write to the stack and crashes on a long one.
        for start in range(0, waveform.n_samples, 1 << 16):
            piece = waveform.samples[:, start : start + (1 << 16)].T
            file.write(to_int16(piece) if encoding.is_integer else np.clip(piece, -1.0, 1.0))
    return target.getvalue()
