"""Locates the checkpoints that ship with Phonogram."""

from __future__ import annotations

from pathlib import Path

from backend.errors import BadCheckpoint

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"
SHIPPED_CODEC = "spectral-24k"


def find_codec(name_or_folder: str | None = None) -> Path:
    """Returns a codec's folder: the folder given, a checkpoint of that name, or for None the shipped speech codec.

    Raises `BadCheckpoint` listing the available ones if there is none.
    """
    if name_or_folder is None:
        if (CHECKPOINTS / SHIPPED_CODEC).is_dir():
            return CHECKPOINTS / SHIPPED_CODEC
        raise BadCheckpoint(
            f"This installation has no '{SHIPPED_CODEC}', the default codec. "
            f"Name a codec checkpoint or its folder instead; {_choices()}."
        )
    candidates = [Path(name_or_folder)]
    # Bare names only: a path that is not a folder is a mistyped path.
    if Path(name_or_folder).name == name_or_folder:
        candidates.append(CHECKPOINTS / name_or_folder)
    try:
        return next(folder for folder in candidates if folder.is_dir())
    except (StopIteration, OSError) as error:
        raise BadCheckpoint(
            f"'{name_or_folder}' is neither a folder nor the name of a checkpoint; {_choices()}. Check the spelling."
        ) from error


def _choices() -> str:
    names = sorted(path.name for path in CHECKPOINTS.iterdir() if path.is_dir()) if CHECKPOINTS.is_dir() else []
    return f"available checkpoints: {', '.join(names)}" if names else "there are no checkpoints"
