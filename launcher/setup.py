"""Making `.venv` hold the project. A stamp in it tells what is installed, so a second start installs nothing."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from launcher import packages, place, wheels
from launcher.place import IS_WINDOWS, SetupError
from launcher.wheels import TORCH

PYTHON_RANGE = ((3, 10), (3, 13))
# Measured: 2.1 GB with processor wheels; the CUDA libraries add about 5 GB. Unpacking needs room too.
DISK_GB = {"cpu": 4, "cuda": 12}


def set_up(extras: Iterable[str]) -> Path:
    """Make `.venv` hold the project with `extras`; returns its Python. Quick when it already does."""
    driver = wheels.nvidia_cuda_version()
    wanted = set(extras) | ({"gpu"} if driver else set())
    python = place.VENV / ("Scripts/python.exe" if IS_WINDOWS else "bin/python")
    installed, is_current = read_stamp()
    if python.exists() and is_current and wanted <= installed:
        return python
    check_extras(wanted)
    check_python()
    index = wheels.torch_index(driver)
    check_disk("cuda" if driver or (sys.platform == "linux" and index is None) else "cpu")
    wanted |= installed
    steps = 3
    if not python.exists():
        say(1, steps, f"making {place.VENV}")
        make_venv()
    place.STAMP.unlink(missing_ok=True)
    say(2, steps, f"installing {TORCH} for {wheels.torch_flavor(driver, index)}")
    # A card that came after the first set-up needs other wheels of the same version.
    replace = ["--force-reinstall", "--no-deps"] if driver and installed and "gpu" not in installed else []
    packages.pip_install(python, [TORCH, *(["--index-url", index] if index else []), *replace])
    listed = ",".join(sorted(wanted))
    say(3, steps, f"installing Phonogram{f' with {listed}' if listed else ''}")
    packages.pip_install(python, ["--editable", f"{place.ROOT}[{listed}]" if listed else str(place.ROOT)])
    place.STAMP.write_text(json.dumps({"fingerprint": fingerprint(), "extras": sorted(wanted)}), encoding="utf-8")
    return python


def fingerprint() -> str:
    """Return a hash of what decides the installation: the project file, the Python and the folder's place."""
    parts = [(place.ROOT / "pyproject.toml").read_bytes(), TORCH.encode(), str(place.ROOT).encode()]
    # The Python inside .venv counts, not the one that runs this file: both may change on their own.
    config = place.VENV / "pyvenv.cfg"
    parts.append(config.read_bytes() if config.exists() else b"")
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def read_stamp() -> tuple[set[str], bool]:
    """Return the extras installed last, and whether nothing that matters has changed since."""
    try:
        stamp = json.loads(place.STAMP.read_text(encoding="utf-8"))
        return set(stamp["extras"]), stamp["fingerprint"] == fingerprint()
    except (OSError, ValueError, KeyError):
        return set(), False


def check_extras(extras: Iterable[str]) -> None:
    known = set(re.findall(r"^(\w+) = \[$", (place.ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE))
    unknown = sorted(set(extras) - known)
    if unknown:
        raise SetupError(f"no such extra: {', '.join(unknown)}. The extras are ui gpu train eval hub cluster dev.")


def check_python() -> None:
    """Leave if this Python will do; else become one that does, or raise."""
    lowest, highest = PYTHON_RANGE
    if not lowest <= sys.version_info[:2] <= highest:
        for minor in (12, 11, 13, 10):
            other = ["py", f"-3.{minor}"] if IS_WINDOWS else [f"python3.{minor}"]
            if shutil.which(other[0]) and not subprocess.call([*other, "-c", "import venv"], stderr=subprocess.DEVNULL):
                sys.exit(subprocess.call([*other, str(place.ROOT / "launch.py"), *sys.argv[1:]]))
        have = ".".join(map(str, sys.version_info[:3]))
        raise SetupError(
            f"this is Python {have}; Phonogram needs 3.{lowest[1]} to 3.{highest[1]}. Install one of those and run "
            f"it by name, such as `python3.{highest[1]} launch.py`."
        )
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise SetupError(
            f"this Python has no {' and no '.join(missing)}, so it cannot make .venv. "
            f"On Debian and Ubuntu: sudo apt install python{version}-venv"
        )


def check_disk(flavor: str) -> None:
    free_gb = shutil.disk_usage(place.ROOT).free / 1e9
    if free_gb < DISK_GB[flavor]:
        raise SetupError(
            f"{free_gb:.1f} GB free at {place.ROOT}; the set-up needs about {DISK_GB[flavor]} GB. "
            "Free some space, or move the folder to a larger disk."
        )


def make_venv() -> None:
    made = subprocess.run([sys.executable, "-m", "venv", str(place.VENV)], capture_output=True, text=True, check=False)
    if made.returncode:
        shutil.rmtree(place.VENV, ignore_errors=True)
        raise SetupError(f"could not make {place.VENV}:\n{(made.stdout + made.stderr).strip()}")


def say(step: int, steps: int, text: str) -> None:
    print(f"[{step}/{steps}] {text}", flush=True)
