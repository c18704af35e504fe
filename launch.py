"""Set up and run Phonogram. Needs nothing but Python; `start.sh`, `test.sh` and the .bat files all come here.

Everything is done in `.venv` beside this file. A stamp in it tells what is installed, so the second
start installs nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "phonogram-setup.json"
IS_WINDOWS = os.name == "nt"
PYTHON_RANGE = ((3, 10), (3, 13))
TORCH = "torch==2.13.0"
TORCH_INDEX = "https://download.pytorch.org/whl/"
PROBE_LIMIT_S = 3.0
PORTS = {"PORT": 8000, "GRADIO_PORT": 7860, "STREAMLIT_PORT": 8501}
TEST_EXTRAS = ("ui", "train", "dev")
# Measured: 2.1 GB with processor wheels; the CUDA libraries add about 5 GB. Unpacking needs room too.
DISK_GB = {"cpu": 4, "cuda": 12}

HELP = """Phonogram: an engine for audio tokens.

usage: {program} [verb]

  (no verb)          set up if needed, start the backend and the Gradio page
  start [part]       the same; part is backend, gradio or streamlit. A page uses a running backend,
                     or starts one
  setup [extra ...]  only set up; extras: ui gpu train eval hub cluster dev (default: ui)
  test [all] [...]   set up the test tools and run the fast suite; all adds the slow, browser, load and fault tests;
                     further arguments go to pytest
  anything else      goes to the command line tool: {program} info speech.pgc

Settings: copy .env.example to .env. The first set-up takes a few minutes and about 2 GB of disk
(about 8 GB with an NVIDIA card); later starts take seconds. Stop everything with Ctrl-C.
"""


class SetupError(Exception):
    """Something the user must fix; the text says what and how."""


def main(arguments: list[str]) -> int:
    """Carry out one verb; returns the exit status."""
    verb, *rest = arguments or ["start"]
    if verb in ("-h", "--help", "help"):
        print(HELP.format(program=os.environ.get("PHONOGRAM_PROGRAM", "python launch.py")), end="")
        return 0
    try:
        if verb == "setup":
            set_up(rest or ["ui"])
            return 0
        if verb == "start":
            return start(rest)
        if verb == "test":
            return run_tests(rest)
        python = set_up(["train"] if verb == "train" else [])
        return run_tool([str(python.with_name("phonogram" + python.suffix)), verb, *rest])
    except SetupError as error:
        print(f"\nphonogram: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nphonogram: interrupted; the same command continues where this one stopped.", file=sys.stderr)
        return 130


# Set-up


def set_up(extras: Iterable[str]) -> Path:
    """Make `.venv` hold the project with `extras`; returns its Python. Quick when it already does."""
    driver = nvidia_cuda_version()
    wanted = set(extras) | ({"gpu"} if driver else set())
    python = VENV / ("Scripts/python.exe" if IS_WINDOWS else "bin/python")
    installed, is_current = read_stamp()
    if python.exists() and is_current and wanted <= installed:
        return python
    check_extras(wanted)
    check_python()
    index = torch_index(driver)
    check_disk("cuda" if driver or (sys.platform == "linux" and index is None) else "cpu")
    wanted |= installed
    steps = 3
    if not python.exists():
        say(1, steps, f"making {VENV}")
        make_venv()
    STAMP.unlink(missing_ok=True)
    say(2, steps, f"installing {TORCH} for {torch_flavor(driver, index)}")
    # A card that came after the first set-up needs other wheels of the same version.
    replace = ["--force-reinstall", "--no-deps"] if driver and installed and "gpu" not in installed else []
    pip_install(python, [TORCH, *(["--index-url", index] if index else []), *replace])
    listed = ",".join(sorted(wanted))
    say(3, steps, f"installing Phonogram{f' with {listed}' if listed else ''}")
    pip_install(python, ["--editable", f"{ROOT}[{listed}]" if listed else str(ROOT)])
    STAMP.write_text(json.dumps({"fingerprint": fingerprint(), "extras": sorted(wanted)}), encoding="utf-8")
    return python


def fingerprint() -> str:
    """Return a hash of what decides the installation: the project file, the Python and the folder's place."""
    parts = [(ROOT / "pyproject.toml").read_bytes(), TORCH.encode(), str(ROOT).encode()]
    # The Python inside .venv counts, not the one that runs this file: both may change on their own.
    config = VENV / "pyvenv.cfg"
    parts.append(config.read_bytes() if config.exists() else b"")
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def read_stamp() -> tuple[set[str], bool]:
    """Return the extras installed last, and whether nothing that matters has changed since."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
        return set(stamp["extras"]), stamp["fingerprint"] == fingerprint()
    except (OSError, ValueError, KeyError):
        return set(), False


def check_extras(extras: Iterable[str]) -> None:
    known = set(re.findall(r"^(\w+) = \[$", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE))
    unknown = sorted(set(extras) - known)
    if unknown:
        raise SetupError(f"no such extra: {', '.join(unknown)}. The extras are ui gpu train eval hub cluster dev.")


def check_python() -> None:
    """Leave if this Python will do; else become one that does, or raise."""
    lowest, highest = PYTHON_RANGE
    if not lowest <= sys.version_info[:2] <= highest:
        for minor in (12, 11, 13, 10):
            other = ["py", f"-3.{minor}"] if IS_WINDOWS else [f"python3.{minor}"]
            if shutil.which(other[0]) and not subprocess.call([*other, "-c", "import venv"], stderr=subprocess.DEVNULL):
                sys.exit(subprocess.call([*other, str(ROOT / "launch.py"), *sys.argv[1:]]))
        have = ".".join(map(str, sys.version_info[:3]))
        raise SetupError(
            f"this is Python {have}; Phonogram needs 3.{lowest[1]} to 3.{highest[1]}. Install one of those and run "
            f"it by name, such as `python3.{highest[1]} launch.py`."
        )
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise SetupError(
            f"this Python has no {' and no '.join(missing)}, so it cannot make .venv. "
            f"On Debian and Ubuntu: sudo apt install python{version}-venv"
        )


def check_disk(flavor: str) -> None:
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if free_gb < DISK_GB[flavor]:
        raise SetupError(
            f"{free_gb:.1f} GB free at {ROOT}; the set-up needs about {DISK_GB[flavor]} GB. "
            "Free some space, or move the folder to a larger disk."
        )


def make_venv() -> None:
    made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True, check=False)
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        raise SetupError(f"could not make {VENV}:\n{(made.stdout + made.stderr).strip()}")


def nvidia_cuda_version() -> int | None:
    """Return the newest CUDA the NVIDIA driver speaks, such as 13000 for 13.0; None without a driver or card.

    Asks the driver's own library, which is there when nvidia-smi is not on the path.
    """
    try:
        library = ctypes.CDLL("nvcuda.dll" if IS_WINDOWS else "libcuda.so.1")
        version, n_cards = ctypes.c_int(), ctypes.c_int()
        found = (
            library.cuInit(0) == 0
            and library.cuDriverGetVersion(ctypes.byref(version)) == 0
            and library.cuDeviceGetCount(ctypes.byref(n_cards)) == 0
        )
        return version.value if found and n_cards.value else None
    except (OSError, AttributeError):
        return None


def torch_index(cuda_version: int | None) -> str | None:
    """Return the wheel index for this machine; None stands for the default one."""
    if cuda_version:
        # 580 is the first driver with CUDA 13.
        url = TORCH_INDEX + ("cu130" if cuda_version >= 13000 else "cu126")
    elif sys.platform == "linux":
        # The default Linux wheels bring gigabytes of CUDA along.
        url = TORCH_INDEX + "cpu"
    else:
        return None
    return url if is_reachable(url + "/torch/") else None


def is_reachable(url: str) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PROBE_LIMIT_S):
            return True
    except (urllib.error.URLError, OSError):
        return False


def torch_flavor(cuda_version: int | None, index: str | None) -> str:
    card = f"an NVIDIA card (CUDA {cuda_version // 1000}.{cuda_version % 1000 // 10})" if cuda_version else "processor"
    return f"{card}, from {index or 'the default package index'}"


def say(step: int, steps: int, text: str) -> None:
    print(f"[{step}/{steps}] {text}", flush=True)


def pip_install(python: Path, arguments: list[str]) -> None:
    """Run pip, showing one moving line (or a dot line every ten seconds where there is no terminal)."""
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off", *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    assert process.stdout is not None
    lines, began_s, shown_s = [], time.monotonic(), time.monotonic()
    for line in process.stdout:
        lines.append(line.rstrip())
        step = re.match(r"\s*(Collecting|Downloading|Using cached|Building|Installing)\b", line)
        now_s = time.monotonic()
        if not step or (not sys.stdout.isatty() and now_s - shown_s < 10):
            continue
        shown_s = now_s
        text = f"      {now_s - began_s:4.0f} s  {line.strip()}"
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
    """Turn pip's last lines into what to do."""
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


# Running


def child_environment(n_threads: int | None = None) -> dict[str, str]:
    """Return the environment for programs that compute; the user's own values win.

    The thread settings live here because they only work before torch loads, and importing must not set them.
    """
    env = dict(os.environ)
    env.setdefault("OMP_NUM_THREADS", str(n_threads or usable_cores()))
    # Intel's OpenMP otherwise spins 200 ms after each operation, on cores the pages could use.
    env.setdefault("KMP_BLOCKTIME", "1")
    env.setdefault("PYTHONUTF8", "1")
    env.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    return env


def usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_tool(command: list[str]) -> int:
    """Become `command` where the system can; else wait for it."""
    if not IS_WINDOWS:
        os.execve(command[0], command, child_environment())
    return subprocess.call(command, env=child_environment())


def run_tests(arguments: list[str]) -> int:
    python = set_up(TEST_EXTRAS)
    run_all = arguments[:1] == ["all"]
    selection = ["-m", "", *arguments[1:]] if run_all else arguments
    # The suite's tensors are tiny: a second thread costs more than it brings.
    return subprocess.call(
        [str(python), "-m", "pytest", "-q", *selection], cwd=ROOT, env=child_environment(n_threads=1)
    )


def read_env_file(path: Path) -> dict[str, str]:
    """Read KEY=VALUE lines; comments, quotes and `export` are understood, nothing else is.

    The backend reads the same file with a real parser; a test holds the two together.
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


def free_port(host: str, wanted: int, taken: Iterable[int] = ()) -> int:
    """Return the first port from `wanted` on that nothing listens on."""
    for port in range(wanted, min(wanted + 100, 65536)):
        if port not in taken and is_free(host, port):
            return port
    raise SetupError(f"no free port from {wanted} to {wanted + 99} on {host}. Set another one in .env.")


def is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if not IS_WINDOWS:  # there, the option means sharing the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def is_phonogram(url: str) -> bool:
    """True if a Phonogram backend answers at `url`."""
    answer = fetch(url + "/health")
    with contextlib.suppress(ValueError, AttributeError):
        return answer is not None and json.loads(answer).get("service") == "phonogram"
    return False


def answers(url: str) -> bool:
    return fetch(url) is not None


def fetch(url: str) -> bytes | None:
    # Our own servers: a proxy meant for the web must not stand in between.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as response:
            return response.read()
    except (urllib.error.URLError, OSError):
        return None


class Children:
    """The servers we started: all of them run, or none does."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen] = {}
        self.stop_asked = threading.Event()
        for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), lambda *_: self.stop_asked.set())

    def start(self, name: str, command: list[str], env: dict[str, str]) -> None:
        # A group of its own: Ctrl-C reaches us alone, and stopping the group leaves no grandchild behind.
        if IS_WINDOWS:
            flags = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined]
        else:
            flags = {"start_new_session": True}
        self._running[name] = subprocess.Popen(command, cwd=ROOT, env=env, **flags)

    def wait_until(self, is_up: Callable[[], bool], limit_s: float = 180.0) -> bool:
        """Wait until `is_up()`; False if a server ends, a stop is asked for, or the time is over."""
        deadline_s = time.monotonic() + limit_s
        while time.monotonic() < deadline_s and not self.ended() and not self.stop_asked.is_set():
            if is_up():
                return True
            self.stop_asked.wait(0.2)
        return False

    def ended(self) -> str | None:
        return next((name for name, process in self._running.items() if process.poll() is not None), None)

    def stop(self) -> None:
        """Ask every group to end, wait ten seconds, then insist."""
        for process in self._running.values():
            self._signal(process, "SIGTERM")
        deadline_s = time.monotonic() + 10
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline_s - time.monotonic()))
            self._signal(process, "SIGKILL")
            process.wait()

    @staticmethod
    def _signal(process: subprocess.Popen, name: str) -> None:
        if IS_WINDOWS:
            if process.poll() is None:
                subprocess.call(["taskkill", "/T", "/F", "/PID", str(process.pid)], stdout=subprocess.DEVNULL)
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, getattr(signal, name))


def start(parts: list[str]) -> int:
    """Start the backend, a page, or both, and watch them until stopped."""
    part = parts[0] if parts else "all"
    if part not in ("all", "backend", "gradio", "streamlit") or len(parts) > 1:
        raise SetupError(f"cannot start '{' '.join(parts)}'; expected backend, gradio or streamlit.")
    python = set_up(["ui"])
    from_file = read_env_file(ROOT / ".env")
    values = {**from_file, **os.environ}
    ports = read_ports(values)
    host = values.get("HOST") or "127.0.0.1"
    near = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    page = {"all": "gradio", "backend": None}.get(part, part)
    running = f"http://{near}:{ports['PORT']}"
    reuse = part in ("gradio", "streamlit") and is_phonogram(running)
    for name in (["PORT"] if not reuse else []) + ([f"{page.upper()}_PORT"] if page else []):
        port = free_port(host, ports[name], [ports["PORT"]] if name != "PORT" else [])
        if port != ports[name]:
            print(f"Port {ports[name]} ({name}) is busy: using {port}.", flush=True)
            ports[name] = port
    backend_url = f"http://{near}:{ports['PORT']}"
    env = {**child_environment(), **{name: str(port) for name, port in ports.items()}, "HOST": host}
    env.setdefault("API_KEY", from_file.get("API_KEY", ""))
    children = Children()
    try:
        addresses = []
        if not reuse:
            serve = ["uvicorn", "backend.app:app", "--host", host, "--port", str(ports["PORT"])]
            # Speeches that are open at a stop; less than a child is given before it is killed.
            serve += ["--timeout-graceful-shutdown", "5"]
            children.start("backend", [str(python), "-m", *serve], env)
            addresses.append(("Backend", backend_url, f"{backend_url}/health"))
        if page:
            port = ports[f"{page.upper()}_PORT"]
            children.start(page, [str(python), "-m", *page_command(page, host, port, backend_url)], env)
            addresses.append((f"{page.title()} page", f"http://{near}:{port}", f"http://{near}:{port}/"))
        for _, _, probe in addresses:
            if not children.wait_until(partial(answers, probe)):
                return report_end(children)
        print("\nPhonogram is running. Stop it with Ctrl-C.", flush=True)
        for name, address, _ in addresses:
            print(f"  {name:15} {address}", flush=True)
        while not children.stop_asked.wait(0.3):
            if children.ended():
                return report_end(children)
        return 0
    finally:
        children.stop()


def page_command(page: str, host: str, port: int, backend_url: str) -> list[str]:
    if page == "gradio":
        return ["ui.gradio_app", "--backend", backend_url, "--host", host, "--port", str(port)]
    options = {"server.address": host, "server.port": port, "server.headless": "true"}
    options["browser.gatherUsageStats"] = "false"
    flags = [f"--{name}={value}" for name, value in options.items()]
    return ["streamlit", "run", "ui/streamlit_app.py", *flags, "--", "--backend", backend_url]


def report_end(children: Children) -> int:
    """Say why the start ended; a stop that was asked for is no failure."""
    if children.stop_asked.is_set():
        return 0
    name = children.ended()
    why = f"the {name} ended" if name else "a server did not answer within 3 minutes"
    print(f"\nphonogram: {why}; its own message is above.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
