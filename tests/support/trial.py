"""Length of the fault tests, and the file for their measurements.

Short by default; full length with FULL_TRIALS=1. With TRIAL_FIGURES=FILE every measurement is appended to FILE as a
line of JSON, which `python -m benchmarks run faults` reads.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TypeVar

Size = TypeVar("Size", int, float)

IS_FULL = os.environ.get("FULL_TRIALS", "0") not in ("", "0")


def sized(short: Size, full: Size) -> Size:
    """Returns the size for this run."""
    return full if IS_FULL else short


def tell(name: str, **figures: Any) -> None:
    """Prints a measurement, and appends it to the file if there is one."""
    line = json.dumps({"name": name, **figures})
    print(f"\n{line}")
    if "TRIAL_FIGURES" in os.environ:
        with Path(os.environ["TRIAL_FIGURES"]).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
