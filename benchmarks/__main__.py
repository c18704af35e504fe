"""Runs benchmarks: `python -m benchmarks list`, `python -m benchmarks run CASE [--json FILE] [--force]`, `python -m
benchmarks capacity`.

Exit codes: 0 measured; 2 unknown case; 3 the machine is busy and `--force` was not given.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path

from benchmarks.capacity import sheet
from benchmarks.machine import BUSY_SHARE, describe_machine
from benchmarks.registry import CASES, description


def run_case(name: str, json_path: Path | None, is_forced: bool) -> int:
    machine = describe_machine()
    for key, value in machine.items():
        print(f"{key:12} {value}")
    busy = machine["busy_share"] > BUSY_SHARE
    if busy and not is_forced:
        print(
            f"Other programs use {machine['busy_share']:.0%} of the cores; the limit is {BUSY_SHARE:.0%}. Wait until the "
            "machine is idle, or pass --force to get rows marked busy.",
            file=sys.stderr,
        )
        return 3
    rows = import_module(CASES[name]).run()
    if busy:
        rows = [{**row, "busy": True} for row in rows]
    for row in rows:
        print(json.dumps(row))
    if json_path is not None:
        json_path.write_text(json.dumps({"case": name, "machine": machine, "rows": rows}, indent=2) + "\n")
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="list the cases")
    verbs.add_parser("capacity", help="print the number of replicas for a number of users")
    run = verbs.add_parser("run", help="run one case and print its rows")
    run.add_argument("case", choices=sorted(CASES))
    run.add_argument("--json", type=Path, metavar="FILE", help="also write machine and rows to FILE")
    run.add_argument("--force", action="store_true", help="measure on a busy machine; rows are marked")
    given = parser.parse_args(arguments)
    if given.verb == "list":
        for name in CASES:
            print(f"{name:16} {description(name)}")
        return 0
    if given.verb == "capacity":
        print(sheet())
        return 0
    return run_case(given.case, given.json, given.force)


if __name__ == "__main__":
    sys.exit(main())
