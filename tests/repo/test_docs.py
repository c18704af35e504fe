"""The documents are true: their blocks run, their trees and maps match the files, their links lead somewhere."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.package_tree import package_tree
from tests.support.repository import ROOT, project_files

# Every document a reader may follow; blocks that cannot run say why above them.
RUN = tuple(sorted(path.as_posix() for path in project_files() if path.suffix == ".md"))
FENCE = re.compile(
    r"^(?:<!-- no-run: *(?P<reason>[^\n]*?) *-->\n+)?```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    document: str
    line: int
    language: str
    code: str
    reason: str | None

    def __str__(self):
        return f"{self.document}:{self.line}"


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def blocks_of(name):
    text = text_of(name)
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start("language")) + 1
        yield Block(name, line, match["language"], match["code"], match["reason"])


BLOCKS = [block for name in RUN for block in blocks_of(name)]
RUNNABLE = [block for block in BLOCKS if block.language in ("bash", "python")]


@pytest.fixture
def environment(tmp_path):
    """The environment of a reader who has set up: this Python, this checkout, and the `phonogram` command."""
    scripts = Path(sys.executable).parent
    if not list(scripts.glob("phonogram*")):
        scripts = tmp_path / "scripts"
        scripts.mkdir()
        (scripts / "phonogram").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m backend "$@"\n')
        (scripts / "phonogram").chmod(0o755)
    path = os.pathsep.join([str(scripts), str(Path(sys.executable).parent), os.environ["PATH"]])
    return dict(os.environ, PATH=path, PYTHONPATH=str(ROOT))


@pytest.mark.parametrize("name", sorted({block.document for block in RUNNABLE if block.reason is None}))
def test_blocks_run_in_order(name, environment, tmp_path):
    folder = tmp_path / "reader"
    folder.mkdir()
    for block in [block for block in RUNNABLE if block.document == name and block.reason is None]:
        command = ["bash", "-euo", "pipefail", "-c"] if block.language == "bash" else [sys.executable, "-c"]
        done = subprocess.run(
            [*command, block.code],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{block}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


def test_every_block_names_its_language_and_every_exception_its_reason():
    assert len(RUNNABLE) > 5
    for block in BLOCKS:
        assert block.language, f"{block}: a fence without a language"
        assert block.reason is None or len(block.reason) > 10, f"{block}: why is it not run?"


def test_readme_tree_equals_the_top_of_the_repository():
    tree = next(block for block in blocks_of("README.md") if block.language == "text" and "launch.py" in block.code)
    listed = {line.split()[0].rstrip("/") for line in tree.code.splitlines() if line.strip()}
    there = {path.parts[0] for path in project_files()}
    hidden = {name for name in there if name.startswith(".")} - {".env.example"}
    assert listed == there - hidden
    assert all(len(line.split()) > 1 for line in tree.code.splitlines()), "every line says what it is"


def test_architecture_shows_the_package_tree_of_today():
    shown = next(
        block.code
        for block in blocks_of("docs/architecture.md")
        if "opt_engine" not in block.code and "backend/ " in block.code
    )
    assert shown.strip() == package_tree(), "replace the block by the output of python -m tests.support.package_tree"


@pytest.mark.parametrize("path", [path for path in project_files() if path.suffix == ".md"], ids=str)
def test_links_inside_the_repository_lead_somewhere(path):
    prose = re.sub(r"`[^`\n]*`", "", text_of(path))
    for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", prose):
        assert (ROOT / path.parent / target).exists(), f"{path} links to {target}"
