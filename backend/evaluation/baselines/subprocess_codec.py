"""Runs codecs that are external programs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from backend.atomic_file import file_sha256
from backend.errors import BadAudio, NotAvailable

TIMEOUT_S = 120.0


def require_program(name: str, package: str) -> str:
    """Returns the path of a program. Raises `NotAvailable` naming the `package` that usually provides it."""
    path = shutil.which(name)
    if path is None:
        raise NotAvailable(f"The program {name} is not installed. Install {package}.")
    return path


def program_version(path: str) -> str:
    """Identifies a build of a program by the hash of its file."""
    return file_sha256(Path(path).resolve())[:16]


def run_program(arguments: list[str], folder: Path) -> None:
    """Runs a program in `folder`. Raises `BadAudio` with its last error line if it fails."""
    name = Path(arguments[0]).name
    try:
        done = subprocess.run(arguments, cwd=folder, capture_output=True, check=False, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise BadAudio(f"{name} did not finish within {TIMEOUT_S:.0f} s. Evaluate shorter sounds.") from error
    if done.returncode:
        output = done.stderr.decode(errors="replace").strip().splitlines() or ["no output"]
        raise BadAudio(f"{name} exited with code {done.returncode}: {output[-1][:200]}")
