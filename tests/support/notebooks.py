"""Runs the code cells of a notebook in one process, as Jupyter would, without needing Jupyter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def run_notebook(notebook: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs all cells with `folder` as their work folder; plots are drawn and not shown."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    variables = {**os.environ, "MPLBACKEND": "Agg", "NOTEBOOK_WORK": str(folder), **environment}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=notebook.parent, env=variables, capture_output=True, text=True, check=False
    )
