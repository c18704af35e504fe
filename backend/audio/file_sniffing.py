"""Audio format detection and truncation checks on file bytes, before decoding."""

from __future__ import annotations

import struct
from typing import Protocol

from backend.errors import BadAudio

# Data sizes from here on mean "unknown" (streamed WAV).
WAV_UNKNOWN_SIZE = 0x7FFFF000
UNKNOWN_32 = 0xFFFFFFFF
OGG_PAGE_MAX_BYTES = 27 + 255 + 255 * 255


class Seekable(Protocol):
    """Minimal file interface."""

    def seek(self, offset: int, whence: int = ..., /) -> int: ...

    def read(self, n_bytes: int = ..., /) -> bytes: ...


def audio_format(head: bytes) -> str:
    """Return the format of a file that starts with `head` (12 bytes or more): wav, flac, ogg or mp3.

    Raises `BadAudio` for any other content, so that no decoder runs on it.
    """
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"fLaC":
        return "flac"
    if head[:4] == b"OggS":
        return "ogg"
    # An ID3 tag, or the sync of an MPEG audio frame: 11 set bits, a legal version, layer III.
    if head[:3] == b"ID3":
        return "mp3"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[1] & 0x18 != 0x08:
        return "mp3"
    raise BadAudio("The content is not a supported audio file; expected WAV, FLAC, Ogg or MP3. Convert it first.")


def require_complete(source: Seekable, format: str, size_bytes: int) -> None:
    """Raise `BadAudio` for a truncated WAV or Ogg file.

    FLAC is checked after decoding, by its sample count; MP3 is checked in `mp3.py`.
    """
    if format == "wav":
        _require_wav_data(source, size_bytes)
    elif format == "ogg":
        _require_last_ogg_page(source, size_bytes)


def _require_wav_data(source: Seekable, size_bytes: int) -> None:
    source.seek(0)
    magic = source.read(12)[:4]
    order = ">" if magic == b"RIFX" else "<"
    long_length = WAV_UNKNOWN_SIZE
    position = 12
    while position + 8 <= size_bytes:
        source.seek(position)
        name, length = struct.unpack(f"{order}4sI", source.read(8))
        position += 8
        if name == b"ds64" and position + 16 <= size_bytes:
            # RF64 stores the 64-bit data size here, after the RIFF size.
            long_length = struct.unpack("<QQ", source.read(16))[1]
        if name == b"data":
            promised = long_length if magic == b"RF64" and length == UNKNOWN_32 else length
            is_known = promised < WAV_UNKNOWN_SIZE or long_length != WAV_UNKNOWN_SIZE
            if is_known and position + promised > size_bytes:
                raise BadAudio(
                    f"The WAV header gives {promised} bytes of audio; the file has {size_bytes - position}: it is "
                    "truncated. Copy or export it again."
                )
            return
        position += length + length % 2
    raise BadAudio("The WAV file has no audio data, or its header is damaged. Export it again.")


def _require_last_ogg_page(source: Seekable, size_bytes: int) -> None:
    """Require a page that ends exactly at the end of the file.

    The end-of-stream flag is not required: recordings of live streams lack it.
    """
    start = max(0, size_bytes - OGG_PAGE_MAX_BYTES)
    source.seek(start)
    tail = source.read(size_bytes - start)
    page = tail.rfind(b"OggS")
    while page >= 0:
        if page + 27 <= len(tail):
            lacing = tail[page + 27 : page + 27 + tail[page + 26]]
            if len(lacing) == tail[page + 26] and page + 27 + len(lacing) + sum(lacing) == len(tail):
                return
        page = tail.rfind(b"OggS", 0, page)
    raise BadAudio("The Ogg file does not end with a complete page: it is truncated. Copy or export it again.")
