"""The launcher: instant help, a second start that installs nothing, honest advice, and no child left behind."""

import ast
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from dotenv import dotenv_values

import launch
import launcher.children
import launcher.packages
import launcher.place
import launcher.ports
import launcher.setup
import launcher.start
import launcher.wheels
from tests.support.repository import ROOT

POSIX = pytest.mark.skipif(os.name == "nt", reason="signals and process groups of Unix")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A copy of what the launcher looks at, with an empty `.venv` that has a Python."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    venv = tmp_path / ".venv"
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    python.parent.mkdir(parents=True)
    python.touch()
    (venv / "pyvenv.cfg").write_text("version = 3.11.7\n")
    monkeypatch.setattr(launcher.place, "ROOT", tmp_path)
    monkeypatch.setattr(launcher.place, "VENV", venv)
    monkeypatch.setattr(launcher.place, "STAMP", venv / "phonogram-setup.json")
    monkeypatch.setattr(launcher.wheels, "nvidia_cuda_version", lambda: None)
    monkeypatch.setattr(launcher.wheels, "is_reachable", lambda url: False)
    return tmp_path


@pytest.fixture
def installs(monkeypatch):
    """What pip would have been asked to install."""
    asked = []
    monkeypatch.setattr(launcher.packages, "pip_install", lambda python, arguments: asked.append(arguments))
    return asked


@POSIX
@pytest.mark.parametrize("program", [["bash", "start.sh"], [sys.executable, "launch.py"]])
def test_help_needs_no_set_up(program, tmp_path):
    shutil.copytree(ROOT / "launcher", tmp_path / "launcher")
    for name in ("start.sh", "launch.py"):
        shutil.copy(ROOT / name, tmp_path)
    done = subprocess.run([*program, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "start [part]" in done.stdout
    assert not (tmp_path / ".venv").exists()


def test_launcher_imports_the_standard_library_only():
    for path in (ROOT / "launch.py", *(ROOT / "launcher").glob("*.py")):
        nodes = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        assert {name.partition(".")[0] for name in names} <= {*sys.stdlib_module_names, "launcher"}, path


def test_second_set_up_installs_nothing(project, installs):
    launcher.setup.set_up(["ui"])
    assert [arguments[0] for arguments in installs] == ["torch==2.13.0", "--editable"]
    installs.clear()
    launcher.setup.set_up(["ui"])
    launcher.setup.set_up([])
    assert installs == []


def test_another_extra_is_added_to_those_installed(project, installs):
    launcher.setup.set_up(["ui"])
    launcher.setup.set_up(["dev"])
    assert installs[-1][1].endswith("[dev,ui]")


@pytest.mark.parametrize("change", ["pyproject.toml", ".venv/pyvenv.cfg"])
def test_change_that_matters_installs_again(project, installs, change):
    launcher.setup.set_up(["ui"])
    installs.clear()
    path = project / change
    path.write_text(path.read_text() + "# changed\n")
    launcher.setup.set_up([])
    assert installs[-1][1].endswith("[ui]")


def test_failed_installation_is_not_taken_for_done(project, monkeypatch):
    def fail(python, arguments):
        raise launcher.place.SetupError("pip failed")

    monkeypatch.setattr(launcher.packages, "pip_install", fail)
    with pytest.raises(launcher.place.SetupError):
        launcher.setup.set_up(["ui"])
    assert not launcher.place.STAMP.exists()


def test_unknown_extra_is_refused_before_anything_is_made(project, installs):
    with pytest.raises(launcher.place.SetupError, match="no such extra: uo"):
        launcher.setup.set_up(["uo"])
    assert installs == []


def test_full_disk_is_reported_with_both_sizes(project, installs, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**12, 10**12, 10**9))
    with pytest.raises(launcher.place.SetupError, match=r"1\.0 GB free.*about \d+ GB"):
        launcher.setup.set_up(["ui"])


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 14, 0)])
def test_unfit_python_is_told_which_ones_fit(version, monkeypatch):
    monkeypatch.setattr(sys, "version_info", version)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(launcher.place.SetupError, match=rf"this is Python 3\.{version[1]}.*3\.10 to 3\.13"):
        launcher.setup.check_python()


def test_missing_venv_module_names_the_debian_package(monkeypatch):
    monkeypatch.setattr(launcher.setup.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(launcher.place.SetupError, match=r"sudo apt install python3\.\d+-venv"):
        launcher.setup.check_python()


@pytest.mark.parametrize(
    ("output", "advice"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("Failed: Temporary failure in name resolution", "check the network"),
        ("ERROR: No matching distribution found for torch==2.13.0", "try another Python"),
        ("error: something else", "See the lines above"),
    ],
)
def test_pip_failure_ends_with_what_to_do(output, advice):
    assert advice in launcher.packages.explain_pip(["first", output])
    assert output in launcher.packages.explain_pip(["first", output])


def test_pip_failure_is_raised(tmp_path):
    with pytest.raises(launcher.place.SetupError, match="pip failed"):
        launcher.packages.pip_install(Path(sys.executable), [str(tmp_path / "nothing-here")])


@pytest.mark.parametrize(
    ("cuda", "platform", "reachable", "expected"),
    [
        (13000, "linux", True, "cu130"),
        (13020, "win32", True, "cu130"),
        (12080, "linux", True, "cu126"),
        (None, "linux", True, "cpu"),
        (None, "linux", False, None),
        (13000, "linux", False, None),
        (None, "darwin", True, None),
        (None, "win32", True, None),
    ],
)
def test_torch_wheels_fit_the_machine(cuda, platform, reachable, expected, monkeypatch):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(launcher.wheels, "is_reachable", lambda url: reachable)
    index = launcher.wheels.torch_index(cuda)
    assert (index and index.rpartition("/")[2]) == expected


def test_card_that_came_later_replaces_the_processor_wheels(project, installs, monkeypatch):
    launcher.setup.set_up(["ui"])
    monkeypatch.setattr(launcher.wheels, "nvidia_cuda_version", lambda: 13000)
    installs.clear()
    launcher.setup.set_up(["ui"])
    assert "--force-reinstall" in installs[0]
    assert installs[1][1].endswith("[gpu,ui]")


def test_index_that_does_not_answer_is_given_up_within_the_limit(monkeypatch):
    monkeypatch.setattr(launcher.wheels, "PROBE_LIMIT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not launcher.wheels.is_reachable(f"http://127.0.0.1:{server.getsockname()[1]}/")


def test_env_file_is_read_as_the_backend_reads_it(tmp_path):
    path = tmp_path / ".env"
    lines = ["# comment", "PORT=9000 # as usual", " export GRADIO_PORT = '9001'", 'API_KEY="a # b"', "HOST="]
    lines += ["DATA_DIR=a#b", "RUNS_DIR=two words   ", "MODEL_DIR=it's", "DEVICE=#none"]
    path.write_text("\n".join(lines), encoding="utf-8")
    values = launcher.ports.read_env_file(path)
    assert values == dotenv_values(path)
    assert values["API_KEY"] == "a # b"
    assert launcher.ports.read_ports(values) == {"PORT": 9000, "GRADIO_PORT": 9001, "STREAMLIT_PORT": 8501}
    assert launcher.ports.read_env_file(tmp_path / "none") == {}


def test_launcher_and_settings_agree_on_the_ports():
    from backend.settings import Settings

    assert {name: getattr(Settings(), name.lower()) for name in launcher.ports.PORTS} == launcher.ports.PORTS


@pytest.mark.parametrize("text", ["0", "65536", "-1", "web", "8000.5"])
def test_bad_port_is_refused_by_name(text):
    with pytest.raises(launcher.place.SetupError, match=rf"GRADIO_PORT is '{text}'"):
        launcher.ports.read_ports({"GRADIO_PORT": text})


def test_busy_port_yields_the_next_free_one():
    with socket.create_server(("127.0.0.1", 0)) as server:
        busy = server.getsockname()[1]
        port = launcher.ports.free_port("127.0.0.1", busy, [busy + 1])
    assert port > busy + 1


def test_the_users_thread_settings_win(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert launcher.children.child_environment(1)["OMP_NUM_THREADS"] == "7"
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert launcher.children.child_environment(1)["OMP_NUM_THREADS"] == "1"
    assert int(launcher.children.child_environment()["OMP_NUM_THREADS"]) == launcher.children.usable_cores()
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.parametrize("parts", [["radio"], ["backend", "gradio"]])
def test_unknown_part_is_refused(parts, capsys):
    assert launch.main(["start", *parts]) == 1
    assert "expected backend, gradio or streamlit" in capsys.readouterr().err


GRANDPARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, file=open(sys.argv[1], "w"), flush=True)
time.sleep(60)
"""


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@POSIX
def test_stopping_leaves_no_grandchild(tmp_path):
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    children = launcher.children.Children()
    note = tmp_path / "pid"
    try:
        children.start("parent", [sys.executable, "-c", GRANDPARENT, str(note)], dict(os.environ))
        assert children.wait_until(lambda: note.exists() and note.read_text().endswith("\n"), limit_s=20)
        grandchild = int(note.read_text())
        assert is_alive(grandchild)
    finally:
        children.stop()
        for name, handler in before.items():
            signal.signal(name, handler)
    deadline_s = time.monotonic() + 5  # a killed process takes a moment to be gone
    while is_alive(grandchild) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert not is_alive(grandchild)
    assert children.ended() == "parent"


START = """
import sys
from pathlib import Path
import launch
launch.set_up = lambda extras: Path(sys.executable)
sys.exit(launch.main(["start", *sys.argv[1:]]))
"""


@POSIX
def test_start_serves_until_interrupted_and_moves_off_a_busy_port(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        env = dict(os.environ, PORT=str(port), HOST="127.0.0.1", API_KEY="", DEVICE="cpu")
        log = tmp_path / "log"
        with log.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-c", START, "backend"], cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT
            )
            try:
                deadline_s = time.monotonic() + 60
                while (
                    "Stop it with" not in log.read_text() and time.monotonic() < deadline_s and process.poll() is None
                ):
                    time.sleep(0.1)
                text = log.read_text()
                assert f"Port {port} (PORT) is busy" in text, text
                address = next(line.split()[1] for line in text.splitlines() if line.startswith("  Backend"))
                with urllib.request.urlopen(address + "/health", timeout=5) as answer:
                    assert json.load(answer)["service"] == "phonogram"
                process.send_signal(signal.SIGINT)
                assert process.wait(20) == 0
            finally:
                process.kill()
    assert launcher.start.fetch(address + "/health") is None


@POSIX
@pytest.mark.slow
def test_everything_starts_and_speaks_in_a_folder_of_any_name(tmp_path):
    folder = tmp_path / "Kühl & Grün (x86) 音声"
    for name in ("backend", "launcher", "ui", "checkpoints/phonogram-mini", "checkpoints/spectral-24k"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("launch.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    ports = {"PORT": 18_400, "STREAMLIT_PORT": 18_500}
    (folder / ".env").write_text("".join(f"{name}={port}\n" for name, port in ports.items()), encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if name not in ("PORT", "STREAMLIT_PORT", "PYTHONPATH")}
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", START, "streamlit"],
            cwd=folder,
            env=env | {"DEVICE": "cpu", "HOST": "127.0.0.1", "API_KEY": ""},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline_s = time.monotonic() + 170
            while "Stop it with" not in log.read_text() and time.monotonic() < deadline_s and process.poll() is None:
                time.sleep(0.2)
            assert "Stop it with" in log.read_text(), log.read_text()
            shown = dict(line.strip().rsplit(None, 1) for line in log.read_text().splitlines() if line.startswith("  "))
            backend, page = shown["Backend"], shown["Streamlit page"]
            while launcher.start.fetch(backend + "/ready") is None and time.monotonic() < deadline_s:
                time.sleep(0.2)
            asked = urllib.request.Request(
                backend + "/tts", b'{"text": "Hello."}', headers={"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(asked, timeout=120) as answer:
                assert answer.read(4) == b"RIFF"
            assert launcher.start.fetch(page) is not None
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert launcher.start.fetch(backend + "/health") is None and launcher.start.fetch(page) is None, (
        "Ctrl-C ends all of them"
    )


@POSIX
def test_start_fails_when_the_backend_cannot(tmp_path):
    env = dict(os.environ, HOST="127.0.0.1", PORT="18000", NUM_STREAMS="0")
    done = subprocess.run(
        [sys.executable, "-c", START, "backend"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "NUM_STREAMS is '0'" in done.stderr
    assert "the backend ended" in done.stderr
