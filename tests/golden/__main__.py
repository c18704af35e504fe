"""Checks reference cases: `python -m tests.golden DIR...`, one case directory each.

Prints the largest error of every array with its tolerance. Exit codes: 0 all within; 1 one is not; 2 a directory is not
a case, or of an unsupported kind.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from backend.errors import PhonogramError

CHECKERS = (
    "tests.golden.codec_case", "tests.golden.dual_ar_case", "tests.golden.prompt_case", "tests.golden.musicgen_case",
)  # fmt: skip


def check_folder(folder: Path) -> int:
    """Prints the findings of one case and returns its exit code."""
    print(folder)
    try:
        meta = read_meta(folder)
    except (OSError, ValueError) as error:
        return _complain(f"there is no readable meta.json here ({type(error).__name__})")
    checker = next((c for c in map(import_module, CHECKERS) if isinstance(meta, dict) and c.accepts(meta)), None)
    if checker is None:
        return _complain("no checker for this kind yet")
    n_found = n_failed = 0
    try:
        for finding in checker.check(folder, meta):
            print(f"  {finding}")
            n_found += 1
            n_failed += not finding.is_ok
    except PhonogramError as error:
        return _complain(str(error))
    print(f"  {n_found - n_failed} of {n_found} within their tolerance")
    # A case without comparisons fails.
    return 1 if n_failed or not n_found else 0


def read_meta(folder: Path) -> Any:
    """Reads `meta.json`. A folder of prompts has none and is recognized by its file names."""
    names = json_files(folder)
    return {"json_files": names} if names else json.loads((folder / "meta.json").read_text())


def json_files(folder: Path) -> list[str]:
    """Returns the JSON files of a folder without a `meta.json`."""
    names = sorted(path.name for path in folder.glob("*.json"))
    return [] if "meta.json" in names else names


def with_cases_inside(folder: Path) -> list[Path]:
    """Returns the folder if it is a case, a folder of prompts with the cases inside it, or the cases inside it."""
    inside = sorted(path.parent for path in folder.glob("*/meta.json"))
    if json_files(folder):
        return [folder, *inside]
    return inside if inside and not (folder / "meta.json").exists() else [folder]


def _complain(text: str) -> int:
    print(f"  {text}", file=sys.stderr)
    return 2


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    folders = parser.parse_args(arguments).folders
    codes = [check_folder(case) for folder in folders for case in with_cases_inside(folder)]
    # A difference takes precedence over a skipped case.
    return 1 if 1 in codes else max(codes)


if __name__ == "__main__":
    sys.exit(main())
