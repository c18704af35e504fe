"""Paths of the installation, and the error shown to the user."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
STAMP = VENV / "phonogram-setup.json"
IS_WINDOWS = os.name == "nt"


class SetupError(Exception):
    """An error that the user must fix; the text says how."""
