"""Running a coder that is a program of its own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from backend.errors import BadAudio, NotAvailable
from backend.evaluation.codec.systems import file_hash

TIMEOUT_S = 120.0


def require_program(name: str, package: str) -> str:
    """The path of a program. Raises `NotAvailable`, naming the `package` that usually holds it."""
    path = shutil.which(name)
    if path is None:
        raise NotAvailable(f"The program {name} is not on this machine. Install {package}.")
    return path


def program_version(path: str) -> str:
    """What tells one build of a program from another: the hash of its file."""
    return file_hash(Path(path).resolve())[:16]


def run_program(arguments: list[str], folder: Path) -> None:
    """Run a program in `folder`. Raises `BadAudio` if it fails, with the last line it said."""
    name = Path(arguments[0]).name
    try:
        done = subprocess.run(arguments, cwd=folder, capture_output=True, check=False, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise BadAudio(f"{name} did not finish within {TIMEOUT_S:.0f} s. Evaluate shorter sounds.") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
        raise BadAudio(f"{name} ended with code {done.returncode} and said: {said[-1][:200]}")
