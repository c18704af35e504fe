"""Lists recordings: from a `manifest.jsonl`, or all audio files under a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from backend.errors import BadSettings

MANIFEST_NAME = "manifest.jsonl"
AUDIO_FOLDER = "speech"
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aiff", ".aif"})


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording. `id` is unique within its manifest; `speaker` is empty when unknown."""

    id: str
    path: Path
    speaker: str = ""


def read_clips(folder: Path) -> list[Clip]:
    """Returns the clips of a folder in a fixed order: from its manifest if there is one, otherwise all audio files.

    A manifest row needs `file` (relative to the folder or to its `speech/`); `id` and `speaker` are optional. Without a
    manifest, the name of a file's folder is its speaker. Raises `BadSettings` for a folder without audio or an invalid
    manifest row.
    """
    if not folder.is_dir():
        raise BadSettings(f"'{folder.name}' is not a folder; expected one with audio files or a {MANIFEST_NAME}.")
    clips = _manifest_clips(folder) if (folder / MANIFEST_NAME).is_file() else _folder_clips(folder)
    if not clips:
        raise BadSettings(f"Folder '{folder.name}' has no audio; expected {', '.join(sorted(AUDIO_SUFFIXES))} files.")
    return clips


def _manifest_clips(folder: Path) -> list[Clip]:
    root = folder / AUDIO_FOLDER if (folder / AUDIO_FOLDER).is_dir() else folder
    clips = []
    for number, line in enumerate((folder / MANIFEST_NAME).read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            path = Path(row["file"])
        except (ValueError, KeyError, TypeError) as error:
            raise BadSettings(
                f"Line {number} of {MANIFEST_NAME} is not a clip ({error!r}); "
                'expected a JSON object with at least "file". Correct or delete the line.'
            ) from error
        path_in_folder = folder / path
        clips.append(
            Clip(
                str(row.get("id", path)),
                path_in_folder if path_in_folder.is_file() else root / path,
                str(row.get("speaker", "")),
            )
        )
    return clips


def _folder_clips(folder: Path) -> list[Clip]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    return [
        Clip(path.relative_to(folder).as_posix(), path, path.parent.name if path.parent != folder else "")
        for path in paths
    ]
