"""Audiobook writer: AAC in MP4 (`.m4b`) with chapters, title and author, playable while downloading."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from av.container import OutputContainer

from backend.atomic_file import atomic_path
from backend.audio.lossy_encoder import CODINGS, StreamEncoder
from backend.errors import BadAudio, OutputError

if TYPE_CHECKING:
    from av.container.core import Chapter as Mark

TICKS_PER_S = 1000


@dataclass(frozen=True, slots=True)
class ChapterMark:
    """A chapter from `start_s` to the next one or the end."""

    title: str
    start_s: float


def write_audiobook(
    path: Path, pieces: Iterable[np.ndarray], rate_hz: int, chapters: Iterable[ChapterMark], *, title: str = "",
    author: str = "", bitrate_kbps: int | None = None,
) -> float:  # fmt: skip
    """Write the pieces, float32 [C, N] at `rate_hz`, to one file; returns its duration in seconds.

    Pieces are encoded as they arrive. `chapters` is read after the last piece, so starts may be counted on the way.
    The file is written atomically and replaces an existing one. Raises `BadAudio` if there is no audio, and
    `OutputError` if chapters are out of order or past the end, or the file cannot be written.
    """
    try:
        # faststart moves the index to the front, which rewrites the file once.
        options = {"movflags": "faststart", "fflags": "bitexact"}
        with (
            atomic_path(path, is_durable=True) as partial,
            av.open(str(partial), "w", format="ipod", options=options) as file,
        ):
            file.metadata.update({name: text for name, text in (("title", title), ("artist", author)) if text})
            if title:
                file.metadata["album"] = title
            file.metadata["genre"] = "Audiobook"
            duration_s = _write_track(file, pieces, rate_hz, bitrate_kbps)
            file.set_chapters(_spans(tuple(chapters), duration_s))
    except (OSError, av.FFmpegError) as error:
        raise OutputError(
            f"The audiobook cannot be written ({error.strerror}). Check the folder and free space."
        ) from error
    return duration_s


def _write_track(
    file: OutputContainer, pieces: Iterable[np.ndarray], rate_hz: int, bitrate_kbps: int | None
) -> float:  # fmt: skip
    encoder: StreamEncoder | None = None
    for piece in pieces:
        if encoder is None:
            encoder = StreamEncoder(CODINGS["aac"], rate_hz, piece.shape[0], bitrate_kbps, file)
        file.mux(encoder.push(piece))
    if encoder is not None:
        file.mux(encoder.finish())
    if encoder is None or not encoder.n_encoded:
        raise BadAudio("The audiobook has no audio; there is nothing to write.")
    return encoder.n_encoded / encoder.rate_hz


def _spans(chapters: Sequence[ChapterMark], duration_s: float) -> list[Mark]:
    """Convert the chapters to libav's format, with their ends."""
    starts = [chapter.start_s for chapter in chapters]
    if starts != sorted(set(starts)) or any(not 0 <= start < duration_s for start in starts):
        raise OutputError(
            f"The chapters start at {starts} s of {duration_s:.3f} s; expected times in order, before the end."
        )
    ticks = [round(start * TICKS_PER_S) for start in [*starts, duration_s]]
    return [
        {
            "id": number, "start": ticks[number], "end": ticks[number + 1], "time_base": Fraction(1, TICKS_PER_S),
            "metadata": {"title": chapter.title},
        }
        for number, chapter in enumerate(chapters)
    ]  # fmt: skip
