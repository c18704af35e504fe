"""Encode audio files to code files on disk and decode them. Outputs are written atomically."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from backend.atomic_file import atomic_path
from backend.audio.files import FILE_FORMATS, read_audio, write_audio
from backend.audio.waveform import Waveform
from backend.codec.base import CausalCodec
from backend.compression.codes.inspect import ContainerSurvey, open_container, survey_container, survey_file
from backend.errors import LimitExceeded, OutputError
from backend.pipeline.codec.stream import Progress, decode_pieces, encode_waveform

# The audio is held in memory: four hours are 1.4 GB at 24 kHz.
MAX_DURATION_S = 4 * 3600.0
MAX_BYTES = 4 * 2**30


def encode_file(
    source: Path, target: Path, codec: CausalCodec, weights_hash: str, *, n_codebooks: int | None = None,
    is_overwrite: bool = False, max_duration_s: float = MAX_DURATION_S, progress: Progress | None = None,
) -> ContainerSurvey:  # fmt: skip
    """Encode an audio file to a code file and return its survey."""
    require_writable(target, source, is_overwrite)
    waveform = read_audio(source, max_duration_s=max_duration_s, max_bytes=MAX_BYTES)
    with _atomic_file(target) as file:
        encode_waveform(waveform, codec, weights_hash, file, n_codebooks, progress)
        file.seek(0)
        # Verify the file by reading it back before it is renamed into place.
        return survey_container(file)


def decode_file(
    source: Path, target: Path, codec: CausalCodec, weights_hash: str, *,
    is_overwrite: bool = False, max_duration_s: float = MAX_DURATION_S, progress: Progress | None = None,
) -> Waveform:  # fmt: skip
    """Decode a code file to an audio file in the format of `target`'s suffix, and return the audio.

    The whole file is checked before decoding. Raises `BadContainer`, `LimitExceeded` for audio longer than
    `max_duration_s`, and `OutputError`.
    """
    require_writable(target, source, is_overwrite)
    require_audio_suffix(target)
    survey = survey_file(source)
    if survey.duration_s > max_duration_s:
        raise LimitExceeded(
            f"The audio is {survey.duration_s:.0f} s long; the limit is {max_duration_s:.0f} s. Cut it."
        )
    with open_container(source) as file:
        pieces = list(decode_pieces(file, survey.header, codec, weights_hash, progress))
    samples = np.concatenate([np.zeros((codec.spec.channels, 0), np.float32), *pieces], axis=1)
    waveform = Waveform(samples, codec.spec.sample_rate_hz)
    write_audio(target, waveform)
    return waveform


def require_writable(target: Path, source: Path, is_overwrite: bool) -> None:
    """Raise `OutputError` unless `target` may be written; call it before the work."""
    try:
        exists, has_folder = target.exists(), target.parent.is_dir()
        is_invalid = exists and (not target.is_file() or (source.exists() and target.samefile(source)))
    except OSError as error:
        raise OutputError(f"The output cannot be written ({error.strerror}). Choose another name.") from error
    if is_invalid:
        raise OutputError(f"'{target.name}' is the input itself or not a file. Choose another file name.")
    if exists and not is_overwrite:
        raise OutputError(f"'{target.name}' exists already. Choose another name, or pass --overwrite.")
    if not has_folder:
        raise OutputError(f"The folder of '{target.name}' does not exist. Create it first.")


def require_audio_suffix(target: Path) -> None:
    if target.suffix.removeprefix(".").lower() not in FILE_FORMATS:
        raise OutputError(
            f"'{target.name}' does not end in an audio format; expected one of .{', .'.join(FILE_FORMATS)}."
        )


@contextmanager
def _atomic_file(target: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that is renamed to `target` if the block succeeds."""
    # Replace the file a symbolic link points to, not the link.
    target = target.resolve()
    try:
        with atomic_path(target) as partial, partial.open("xb+") as file:
            yield file
    except OSError as error:
        raise OutputError(
            f"'{target.name}' cannot be written ({error.strerror}). Check the folder and the free space."
        ) from error
