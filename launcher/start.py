"""Starts the backend, a web page, or both, and monitors them until stopped."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from launcher import place
from launcher.children import Children, child_environment
from launcher.place import SetupError
from launcher.ports import free_port, read_env_file, read_ports

PARTS = ("all", "backend", "gradio", "streamlit")


def part_of(arguments: list[str]) -> str:
    """Return the part to start; without arguments the backend with the Gradio page."""
    part = arguments[0] if arguments else "all"
    if part not in PARTS or len(arguments) > 1:
        raise SetupError(f"cannot start '{' '.join(arguments)}'; expected backend, gradio or streamlit.")
    return part


def start(part: str, python: Path, opens_browser: bool = True) -> int:
    """Start one of `PARTS` with this Python; returns the exit status when it has ended.

    The page is opened in a browser where there is a desktop, unless `opens_browser` is false.
    """
    from_file = read_env_file(place.ROOT / ".env")
    values = {**from_file, **os.environ}
    ports = read_ports(values)
    host = values.get("HOST") or "127.0.0.1"
    local_host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    page = {"all": "gradio", "backend": None}.get(part, part)
    running = f"http://{local_host}:{ports['PORT']}"
    reuse = part in ("gradio", "streamlit") and is_phonogram(running)
    for name in (["PORT"] if not reuse else []) + ([f"{page.upper()}_PORT"] if page else []):
        port = free_port(host, ports[name], [ports["PORT"]] if name != "PORT" else [])
        if port != ports[name]:
            print(f"Port {ports[name]} ({name}) is busy: using {port}.", flush=True)
            ports[name] = port
    backend_url = f"http://{local_host}:{ports['PORT']}"
    env = {**child_environment(), **{name: str(port) for name, port in ports.items()}, "HOST": host}
    env.setdefault("API_KEY", from_file.get("API_KEY", ""))
    children = Children()
    try:
        addresses = []
        if not reuse:
            # Running speech gets less time than `Children.stop` waits before it kills the process.
            env.setdefault("SHUTDOWN_S", from_file.get("SHUTDOWN_S", "4"))
            serve = ["backend", "serve", "--host", host, "--port", str(ports["PORT"])]
            children.start("backend", [str(python), "-m", *serve], env)
            addresses.append(("Backend", backend_url, f"{backend_url}/health"))
        if page:
            port = ports[f"{page.upper()}_PORT"]
            children.start(page, [str(python), "-m", *page_command(page, host, port, backend_url)], env)
            addresses.append((f"{page.title()} page", f"http://{local_host}:{port}", f"http://{local_host}:{port}/"))
        for _, _, probe in addresses:
            if not children.wait_until(partial(is_up, probe)):
                return report_end(children)
        print("\nPhonogram is running. Stop it with Ctrl-C.", flush=True)
        for name, address, _ in addresses:
            print(f"  {name:15} {address}", flush=True)
        if opens_browser and page and has_desktop(os.environ):
            webbrowser.open(addresses[-1][1])
        while not children.stop_requested.wait(0.3):
            if children.ended():
                return report_end(children)
        return 0
    finally:
        children.stop()


def has_desktop(environment: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Return whether a browser can open here: not over SSH, and on Linux only with a display."""
    if environment.get("SSH_CONNECTION") or environment.get("CI"):
        return False
    return platform in ("win32", "darwin") or bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def page_command(page: str, host: str, port: int, backend_url: str) -> list[str]:
    if page == "gradio":
        return ["ui.gradio_app", "--backend", backend_url, "--host", host, "--port", str(port)]
    options = {"server.address": host, "server.port": port, "server.headless": "true"}
    options["browser.gatherUsageStats"] = "false"
    flags = [f"--{name}={value}" for name, value in options.items()]
    return ["streamlit", "run", "ui/streamlit_app.py", *flags, "--", "--backend", backend_url]


def report_end(children: Children) -> int:
    """Print why the start ended; returns 0 for a requested stop, else 1."""
    if children.stop_requested.is_set():
        return 0
    name = children.ended()
    reason = f"the {name} ended" if name else "a server did not respond within 3 minutes"
    print(f"\nphonogram: {reason}; its own message is above.", file=sys.stderr)
    return 1


def is_phonogram(url: str) -> bool:
    """Return whether a Phonogram backend responds at `url`."""
    content = fetch(url + "/health")
    with contextlib.suppress(ValueError, AttributeError):
        return content is not None and json.loads(content).get("service") == "phonogram"
    return False


def is_up(url: str) -> bool:
    return fetch(url) is not None


def fetch(url: str) -> bytes | None:
    # Without a proxy, because these are local servers.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as response:
            return response.read()
    except (urllib.error.URLError, OSError):
        return None
