"""Installs the project into `.venv`. A stamp file there records what is installed, so later starts install nothing."""

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
# Measured: 2.1 GB with CPU wheels; the CUDA libraries add about 5 GB. Unpacking needs further space.
DISK_GB = {"cpu": 4, "cuda": 12}


def set_up(extras: Iterable[str]) -> Path:
    """Install the project with `extras` into `.venv`; returns its Python. Fast if already installed."""
    driver = wheels.nvidia_cuda_version()
    extras_needed = set(extras) | ({"gpu"} if driver else set())
    python = place.VENV / ("Scripts/python.exe" if IS_WINDOWS else "bin/python")
    installed, is_current = read_stamp()
    if python.exists() and is_current and extras_needed <= installed:
        return python
    check_extras(extras_needed)
    check_python()
    index = wheels.torch_index(driver)
    check_disk("cuda" if driver or (sys.platform == "linux" and index is None) else "cpu")
    extras_needed |= installed
    steps = 3
    if not python.exists():
        print_step(1, steps, f"creating {place.VENV}")
        make_venv()
    place.STAMP.unlink(missing_ok=True)
    print_step(2, steps, f"installing {TORCH} for {wheels.torch_flavor(driver, index)}")
    # A GPU added after the first installation needs other wheels of the same version.
    replace = ["--force-reinstall", "--no-deps"] if driver and installed and "gpu" not in installed else []
    packages.pip_install(python, [TORCH, *(["--index-url", index] if index else []), *replace])
    names = ",".join(sorted(extras_needed))
    print_step(3, steps, f"installing Phonogram{f' with {names}' if names else ''}")
    packages.pip_install(python, ["--editable", f"{place.ROOT}[{names}]" if names else str(place.ROOT)])
    place.STAMP.write_text(
        json.dumps({"fingerprint": fingerprint(), "extras": sorted(extras_needed)}), encoding="utf-8"
    )
    return python


def fingerprint() -> str:
    """Return a hash of everything the installation depends on: the project file, the Python and the folder."""
    parts = [(place.ROOT / "pyproject.toml").read_bytes(), TORCH.encode(), str(place.ROOT).encode()]
    # The Python inside .venv, which may differ from the one that runs this file.
    config = place.VENV / "pyvenv.cfg"
    parts.append(config.read_bytes() if config.exists() else b"")
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def read_stamp() -> tuple[set[str], bool]:
    """Return the installed extras, and whether the installation is current."""
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
    """Return if this Python version is supported; else run a supported one instead, or raise."""
    lowest, highest = PYTHON_RANGE
    if not lowest <= sys.version_info[:2] <= highest:
        for minor in (12, 11, 13, 10):
            other = ["py", f"-3.{minor}"] if IS_WINDOWS else [f"python3.{minor}"]
            if shutil.which(other[0]) and not subprocess.call([*other, "-c", "import venv"], stderr=subprocess.DEVNULL):
                sys.exit(subprocess.call([*other, str(place.ROOT / "launch.py"), *sys.argv[1:]]))
        have = ".".join(map(str, sys.version_info[:3]))
        raise SetupError(
            f"this is Python {have}; Phonogram needs 3.{lowest[1]} to 3.{highest[1]}. Install one of those and run "
            f"it by name, for example `python3.{highest[1]} launch.py`."
        )
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise SetupError(
            f"this Python has no {' and no '.join(missing)}, so it cannot create .venv. "
            f"On Debian and Ubuntu: sudo apt install python{version}-venv"
        )


def check_disk(flavor: str) -> None:
    free_gb = shutil.disk_usage(place.ROOT).free / 1e9
    if free_gb < DISK_GB[flavor]:
        raise SetupError(
            f"{free_gb:.1f} GB free at {place.ROOT}; the installation needs about {DISK_GB[flavor]} GB. "
            "Free some space, or move the folder to a larger disk."
        )


def make_venv() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "venv", str(place.VENV)], capture_output=True, text=True, check=False
    )
    if result.returncode:
        shutil.rmtree(place.VENV, ignore_errors=True)
        raise SetupError(f"could not create {place.VENV}:\n{(result.stdout + result.stderr).strip()}")


def print_step(step: int, steps: int, text: str) -> None:
    print(f"[{step}/{steps}] {text}", flush=True)
