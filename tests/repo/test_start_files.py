"""The start files of Windows and Unix: same steps, right line ends."""

import os
import re
import subprocess

import pytest

from tests.repo.tree import ROOT

PARTS = ("backend", "gradio", "streamlit")


@pytest.mark.parametrize("part", PARTS)
def test_bat_file_runs_the_launcher_with_its_part(part):
    raw = (ROOT / f"start_{part}.bat").read_bytes()
    assert raw.count(b"\n") == raw.count(b"\r\n") > 5, "Windows needs CRLF: labels break without it"
    text = raw.decode("ascii")
    calls = re.findall(r'^\s*(py -3|python) "%~dp0launch\.py" (.*)$', text.replace("\r", ""), re.MULTILINE)
    assert [arguments for _, arguments in calls] == [f"start {part} %*"] * 2
    assert text.index("chcp 65001") < text.index("launch.py"), "paths with other letters need UTF-8 first"
    assert 'cd /d "%~dp0"' in text
    assert "No Python was found" in text
    assert text.count("pause") == 2, "the window must stay open after a failure"


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
