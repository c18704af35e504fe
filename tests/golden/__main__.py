"""Check reference cases: `python -m tests.golden DIR...`, one case directory each.

Prints the largest error of every array beside what is allowed. Exit code 0: all within; 1: one is not;
2: a directory is no case, or of a kind that has no checker yet.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path

from backend.errors import PhonogramError

CHECKERS = ("tests.golden.codec_case", "tests.golden.dual_ar_case")


def check_folder(folder: Path) -> int:
    """Print the findings of one case and return its exit code."""
    print(folder)
    try:
        meta = json.loads((folder / "meta.json").read_text())
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
    # A case in which nothing was compared has shown nothing.
    return 1 if n_failed or not n_found else 0


def _complain(text: str) -> int:
    print(f"  {text}", file=sys.stderr)
    return 2


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    codes = [check_folder(folder) for folder in parser.parse_args(arguments).folders]
    # A difference found weighs more than a case left out.
    return 1 if 1 in codes else max(codes)


if __name__ == "__main__":
    sys.exit(main())
