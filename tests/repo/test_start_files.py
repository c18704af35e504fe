"""The start files of Windows and Unix: same steps, right line ends."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.support.batch_files import NOT_FOUND, BatchRun
from tests.support.repository import ROOT

PARTS = ("backend", "gradio", "streamlit")


# A folder as people have them: spaces, brackets, an ampersand, letters of two alphabets.
FOLDER = "Kühl & Grün (x86) 音声"
VENV_PYTHON = ".venv\\Scripts\\python.exe"


def text_of(part):
    return (ROOT / f"start_{part}.bat").read_bytes().decode("ascii")


class Windows:
    """Pythons by how they are called; `launched` is every call of the launcher, as the words after the Python."""

    def __init__(self, pythons, launch_status=0):
        self.pythons, self.launch_status = pythons, launch_status
        self.launched = []

    def __call__(self, words):
        n_called = 2 if words[0] == "py" else 1
        called, rest = " ".join(words[:n_called]), words[n_called:]
        version = self.pythons.get(called)
        if version is None:
            return NOT_FOUND
        if rest == ["--version"]:
            return 0
        if rest[0] == "-c":
            code = rest[1].replace("sys.version_info", repr(version))
            return subprocess.run([sys.executable, "-c", code], check=False).returncode
        self.launched.append((called, rest))
        return self.launch_status


def run_bat(part, pythons, files=(), arguments="", launch_status=0):
    windows = Windows(pythons, launch_status)
    run = BatchRun(f"D:\\{FOLDER}", windows, frozenset(files), arguments)
    return run.run(text_of(part)), run, windows.launched


@pytest.mark.parametrize("part", PARTS)
def test_bat_file_is_what_windows_can_read(part):
    raw = (ROOT / f"start_{part}.bat").read_bytes()
    assert raw.count(b"\n") == raw.count(b"\r\n") > 5, "Windows needs CRLF: labels break without it"
    text = text_of(part)
    assert text.index("chcp 65001") < text.index("launch.py"), "paths with other letters need UTF-8 first"
    bare = [line for line in text.splitlines() if "%~dp0" in line and line.count('"') % 2]
    assert not bare, "a path without quotes breaks at the first space"
    assert "runas" not in text and "cl.exe" not in text, "no administrator, no compiler"


@pytest.mark.parametrize("part", PARTS)
def test_bat_file_runs_the_launcher_with_its_part(part):
    status, run, launched = run_bat(part, {"py -3.12": (3, 12, 1)}, arguments="--now")
    assert (status, run.pauses) == (0, 0)
    assert launched == [("py -3.12", [f"D:\\{FOLDER}\\launch.py", "start", part, "--now"])]
    assert run.variables["PHONOGRAM_PROGRAM"] == f"start_{part}.bat"


@pytest.mark.parametrize(
    ("pythons", "chosen"),
    [
        ({"py -3.14": (3, 14, 0), "py -3.11": (3, 11, 4), "python": (3, 14, 0)}, "py -3.11"),
        ({"py -3.13": (3, 13, 0), "py -3.10": (3, 10, 0)}, "py -3.13"),
        ({"python": (3, 10, 2)}, "python"),
        ({"py -3.12": (2, 7, 18), "python": (3, 13, 1)}, "python"),
    ],
)
def test_bat_file_takes_a_python_that_fits(pythons, chosen):
    status, _, launched = run_bat("gradio", pythons)
    assert status == 0
    assert [called for called, _ in launched] == [chosen]


def test_bat_file_of_an_earlier_set_up_searches_nothing():
    pythons = {VENV_PYTHON: (3, 11, 0), "py -3.13": (3, 13, 0)}
    _, _, launched = run_bat("gradio", pythons, files=[VENV_PYTHON])
    assert [called for called, _ in launched] == [VENV_PYTHON]
    del pythons[VENV_PYTHON]
    _, _, launched = run_bat("gradio", pythons, files=[VENV_PYTHON])
    assert [called for called, _ in launched] == ["py -3.13"], "its own Python was removed since"


@pytest.mark.parametrize("pythons", [{}, {"python": (3, 9, 1)}, {"python": (3, 14, 0), "py -3.14": (3, 14, 0)}])
def test_bat_file_says_what_to_do_without_a_python_that_fits(pythons):
    status, run, launched = run_bat("streamlit", pythons)
    assert (status, run.pauses, launched) == (1, 1, [])
    told = " ".join(run.shown)
    assert "No Python 3.10 to 3.13 was found" in told and "administrator rights are not needed" in told


def test_bat_file_keeps_its_window_open_after_a_failure():
    status, run, _ = run_bat("backend", {"python": (3, 11, 0)}, launch_status=1)
    assert (status, run.pauses) == (1, 1)
    assert "the reason is above" in " ".join(run.shown)


@pytest.mark.skipif(os.name == "nt", reason="there, the file itself can be run")
def test_launcher_starts_from_a_folder_of_any_name(tmp_path):
    folder = tmp_path / FOLDER
    shutil.copytree(ROOT / "launcher", folder / "launcher")
    for name in ("launch.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    said = []

    def really(words):
        if words[0] != "python":
            return NOT_FOUND
        here = [word.replace(f"D:\\{FOLDER}\\", f"{folder}/") for word in words[1:]]
        done = subprocess.run([sys.executable, *here], capture_output=True, text=True, cwd=tmp_path, check=False)
        said.append(done.stderr)
        return done.returncode

    run = BatchRun(f"D:\\{FOLDER}", really, arguments="radio")
    assert run.run(text_of("backend")) == 1
    assert "cannot start 'backend radio'" in said[-1]


def test_bat_files_differ_in_their_part_only():
    texts = {part: (ROOT / f"start_{part}.bat").read_text() for part in PARTS}
    commands = {re.sub(r"^rem .*\n", "", texts[part], flags=re.MULTILINE).replace(part, "PART") for part in PARTS}
    assert len(commands) == 1


def test_git_keeps_the_line_ends():
    attributes = (ROOT / ".gitattributes").read_text().splitlines()
    assert "* text=auto eol=lf" in attributes
    assert "*.bat text eol=crlf" in attributes


@pytest.mark.skipif(os.name == "nt", reason="the .bat files serve Windows")
@pytest.mark.parametrize("name", ["start.sh", "test.sh", ".ci/run"])
def test_shell_files_are_valid(name):
    assert b"\r" not in (ROOT / name).read_bytes()
    subprocess.run(["bash", "-n", name], cwd=ROOT, check=True)
