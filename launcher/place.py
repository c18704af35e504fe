"""Where everything lies, and the error that tells a user what to fix."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
STAMP = VENV / "phonogram-setup.json"
IS_WINDOWS = os.name == "nt"


class SetupError(Exception):
    """Something the user must fix; the text says what and how."""
