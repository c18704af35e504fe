"""Fault tests of the service at full length: kills, full disks, load, misbehaving clients, damaged data.

Runs the suite's fault tests with longer durations. Accepted work must not be lost: a job or a voice whose id was
returned. A live stream that breaks must break visibly.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TRIALS = ("tests/fault", "tests/api/test_uploads.py")


def run() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures"
        environment = {**os.environ, "FULL_TRIALS": "1", "TRIAL_FIGURES": str(figures), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "pytest", "-q", "-m", "fault or slow", *TRIALS]
        if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode:
            raise RuntimeError("A fault test failed; see its output above.")
        return [json.loads(line) for line in figures.read_text(encoding="utf-8").splitlines()]
