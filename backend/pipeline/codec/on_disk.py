"""A sound file to a code file on disk, and back. The output is whole, or it is not there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from backend.audio.files import FILE_FORMATS, read_audio, write_audio
from backend.audio.waveform import Waveform
from backend.codec.base import CausalCodec
from backend.compression.codes.inspect import ContainerSurvey, open_container, survey_container, survey_file
from backend.errors import LimitExceeded, OutputError
from backend.pipeline.codec.stream import Progress, decode_pieces, encode_waveform

# A sound is held in memory as a whole: four hours are 1.4 GB at 24 kHz.
MAX_DURATION_S = 4 * 3600.0
MAX_BYTES = 4 * 2**30


def encode_file(
    source: Path, target: Path, codec: CausalCodec, weights_hash: str, *, n_codebooks: int | None = None,
    is_overwrite: bool = False, max_duration_s: float = MAX_DURATION_S, progress: Progress | None = None,
) -> ContainerSurvey:  # fmt: skip
    """Write the code file of a sound file and return what it holds and costs."""
    require_free(target, source, is_overwrite)
    waveform = read_audio(source, max_duration_s=max_duration_s, max_bytes=MAX_BYTES)
    with _whole_file(target) as file:
        encode_waveform(waveform, codec, weights_hash, file, n_codebooks, progress)
        file.seek(0)
        # Read back before it gets its name: what is given out has been read once.
        return survey_container(file)


def decode_file(
    source: Path, target: Path, codec: CausalCodec, weights_hash: str, *,
    is_overwrite: bool = False, max_duration_s: float = MAX_DURATION_S, progress: Progress | None = None,
) -> Waveform:  # fmt: skip
    """Write the sound of a code file in the format of `target`'s suffix, and return it.

    The whole file is checked before any of it is decoded. Raises `BadContainer`, `LimitExceeded` for a
    sound longer than `max_duration_s`, and `OutputError`.
    """
    require_free(target, source, is_overwrite)
    require_sound_suffix(target)
    survey = survey_file(source)
    if survey.duration_s > max_duration_s:
        raise LimitExceeded(
            f"The sound is {survey.duration_s:.0f} s long; the limit is {max_duration_s:.0f} s. Cut it."
        )
    with open_container(source) as file:
        pieces = list(decode_pieces(file, survey.header, codec, weights_hash, progress))
    samples = np.concatenate([np.zeros((codec.spec.channels, 0), np.float32), *pieces], axis=1)
    waveform = Waveform(samples, codec.spec.sample_rate_hz)
    write_audio(target, waveform)
    return waveform


def require_free(target: Path, source: Path, is_overwrite: bool) -> None:
    """Raise `OutputError` unless `target` may be written; asked before the work, not after it."""
    try:
        is_taken, has_folder = target.exists(), target.parent.is_dir()
        is_unfit = is_taken and (not target.is_file() or (source.exists() and target.samefile(source)))
    except OSError as error:
        raise OutputError(f"The output cannot be written ({error.strerror}). Choose another name.") from error
    if is_unfit:
        raise OutputError(f"'{target.name}' is the input itself or not a file. Choose another file name.")
    if is_taken and not is_overwrite:
        raise OutputError(f"'{target.name}' exists already. Choose another name, or pass --overwrite.")
    if not has_folder:
        raise OutputError(f"The folder of '{target.name}' does not exist. Create it first.")


def require_sound_suffix(target: Path) -> None:
    if target.suffix.removeprefix(".").lower() not in FILE_FORMATS:
        raise OutputError(
            f"'{target.name}' does not end in a sound format; expected one of .{', .'.join(FILE_FORMATS)}."
        )


@contextmanager
def _whole_file(target: Path) -> Iterator[BinaryIO]:
    """A file to write and read that takes the name `target` only if the block ends well."""
    # Through a link the file it names is replaced, not the link.
    target = target.resolve()
    partial = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with partial.open("xb+") as file:
            yield file
        os.replace(partial, target)
    except OSError as error:
        raise OutputError(
            f"'{target.name}' cannot be written ({error.strerror}). Check the folder and the free space."
        ) from error
    finally:
        partial.unlink(missing_ok=True)
