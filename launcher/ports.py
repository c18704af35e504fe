"""Reads the ports from `.env` and finds free ones."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from pathlib import Path

from launcher.place import IS_WINDOWS, SetupError

PORTS = {"PORT": 8000, "GRADIO_PORT": 7860, "STREAMLIT_PORT": 8501}


def read_env_file(path: Path) -> dict[str, str]:
    """Read KEY=VALUE lines with comments, quotes and `export`.

    The backend reads the same file with python-dotenv; a test checks that both agree.
    """
    if not path.is_file():
        return {}
    values = {}
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        match = re.match(r"\s*(?:export\s+)?(\w+)[ \t]*=[ \t]*(\"[^\"]*\"|'[^']*'|.*?(?=\s+#|\s*$))", line)
        if match:
            is_quoted = match[2][:1] in ('"', "'")
            values[match[1].upper()] = match[2][1:-1] if is_quoted else match[2]
    return values


def read_ports(values: dict[str, str]) -> dict[str, int]:
    ports = {}
    for name, default in PORTS.items():
        text = values.get(name) or str(default)
        if not text.isdecimal() or not 1 <= int(text) <= 65535:
            raise SetupError(f"{name} is '{text}'; expected a port from 1 to 65535. Correct it in .env.")
        ports[name] = int(text)
    return ports


def free_port(host: str, start: int, taken: Iterable[int] = ()) -> int:
    """Return the first free port from `start` on."""
    for port in range(start, min(start + 100, 65536)):
        if port not in taken and is_free(host, port):
            return port
    raise SetupError(f"no free port from {start} to {start + 99} on {host}. Set another one in .env.")


def is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if not IS_WINDOWS:  # on Windows, SO_REUSEADDR allows sharing the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
