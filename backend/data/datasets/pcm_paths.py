"""The WAV files of a folder, split by file: adding a file moves no other one."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

VALID_SHARE = 0.1


def get_train_paths(audio_directory: str | Path, valid_share: float = VALID_SHARE) -> list[str]:
    """The WAV files below a folder that are learned from, sorted."""
    return [path for path, is_valid in _paths(Path(audio_directory), valid_share) if not is_valid]


def get_valid_paths(audio_directory: str | Path, valid_share: float = VALID_SHARE) -> list[str]:
    """The WAV files below a folder that are held out, sorted."""
    return [path for path, is_valid in _paths(Path(audio_directory), valid_share) if is_valid]


def _paths(folder: Path, valid_share: float) -> list[tuple[str, bool]]:
    """Each file with whether it is held out, decided by its path below the folder and nothing else."""
    if not folder.is_dir():
        raise FileNotFoundError(f"Audio folder not found: {folder.name}. Name a folder with WAV files.")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".wav" and path.is_file())
    limit = int(valid_share * 2**32)
    return [(str(path), _number(path.relative_to(folder).as_posix()) < limit) for path in found]


def _number(name: str) -> int:
    return int.from_bytes(sha256(name.encode("utf-8", "surrogateescape")).digest()[:4], "big")
