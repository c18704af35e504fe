"""Runs pip with a one-line progress display, and explains its failures."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from launcher import place
from launcher.place import SetupError
from launcher.wheels import TORCH


def pip_install(python: Path, arguments: list[str]) -> None:
    """Run pip with one updating progress line, or without a terminal one line every ten seconds."""
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off", *arguments]
    process = subprocess.Popen(
        command, cwd=place.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    assert process.stdout is not None
    lines, started_s, shown_s = [], time.monotonic(), time.monotonic()
    for line in process.stdout:
        lines.append(line.rstrip())
        step = re.match(r"\s*(Collecting|Downloading|Using cached|Building|Installing)\b", line)
        now_s = time.monotonic()
        if not step or (not sys.stdout.isatty() and now_s - shown_s < 10):
            continue
        shown_s = now_s
        text = f"      {now_s - started_s:4.0f} s  {line.strip()}"
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1
            print("\r" + text[:width].ljust(width), end="", flush=True)
        else:
            print(text[:110], flush=True)
    status = process.wait()
    if sys.stdout.isatty():
        print("\r" + " " * (shutil.get_terminal_size().columns - 1), end="\r", flush=True)
    if status:
        raise SetupError(explain_pip(lines))


def explain_pip(lines: list[str]) -> str:
    """Return pip's last lines with advice on how to fix the failure."""
    text = "\n".join(lines)
    if "No space left" in text:
        advice = "The disk is full: free some space and run the same command again."
    elif re.search(r"name resolution|getaddrinfo|NewConnectionError|ConnectTimeout|Network is unreachable", text):
        advice = "The package index cannot be reached: check the network or the proxy and run the same command again."
    elif "No matching distribution found for torch" in text:
        version = ".".join(map(str, sys.version_info[:2]))
        advice = f"There is no {TORCH} for Python {version} on this system: try another Python from 3.10 to 3.13."
    else:
        advice = "See the lines above; the same command continues where this one stopped."
    tail = "\n".join(f"    {line}" for line in lines[-12:])
    return f"pip failed.\n{tail}\n{advice}"
