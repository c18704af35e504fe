"""docs/security.md is true: every threat names tests that are there, and what it rules out is nowhere in the code."""

import ast

import pytest

from tests.support.named_tests import check_row, check_tests_exist, files_named_in, rows_of
from tests.support.repository import ROOT, imports_of, parsed, python_files

TEXT = (ROOT / "docs/security.md").read_text(encoding="utf-8")
ROWS = rows_of(TEXT, "## Threats", "threat")

# Modules that can open a connection to somewhere else.
CLIENTS = {
    "httpx",
    "requests",
    "aiohttp",
    "urllib3",
    "httpcore",
    "ftplib",
    "smtplib",
    "telnetlib",
    "http",
    "gradio_client",
}
CLIENTS |= {"urllib", "websockets", "xmlrpc", "huggingface_hub"}
# Fetching on the owner's command: checkpoints and public datasets.
MAY_CONNECT = {"backend/weights/hub.py", "backend/cli/download.py", "backend/data/sources/transfer.py"}
RUNS_CODE = {"eval", "exec", "compile", "__import__"}


def test_every_threat_has_an_answer_and_a_test():
    assert len(ROWS) > 25
    for row in ROWS:
        check_row(row)


@pytest.mark.parametrize("path", files_named_in(TEXT))
def test_tests_that_are_named_exist(path):
    check_tests_exist(TEXT, path)


def test_nothing_in_the_backend_can_fetch_an_address():
    for path in python_files("backend"):
        if path.as_posix() in MAY_CONNECT:
            continue
        found = {name for name in imports_of(path) if name.partition(".")[0] in CLIENTS}
        assert found <= {"http", "urllib.parse", "http.HTTPStatus"}, f"{path} imports {sorted(found)}"


def test_the_owners_download_cannot_be_reached_from_the_server():
    graph = {".".join(path.with_suffix("").parts): list(imports_of(path)) for path in python_files("backend")}
    seen, waiting = set(), ["backend.app"]
    while waiting:
        name = waiting.pop()
        if name in graph and name not in seen:
            seen.add(name)
            waiting += graph[name]
    assert "backend.opt_engine" in seen and "backend.weights.tensor_files" in seen
    assert not {"backend.weights.hub", "backend.cli.download", "backend.data.sources.transfer"} & seen


def test_nothing_in_the_backend_runs_text_as_code():
    for path in python_files("backend", "ui"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in RUNS_CODE, f"{path}:{node.lineno}"
            if isinstance(node, ast.keyword) and node.arg == "shell":
                assert isinstance(node.value, ast.Constant) and not node.value.value, f"{path}: a shell"


def test_pages_load_no_app_of_others():
    for path in python_files("ui"):
        for node in ast.walk(parsed(path)):
            is_load = isinstance(node, ast.Attribute) and node.attr == "load" and isinstance(node.value, ast.Name)
            assert not (is_load and node.value.id in ("gr", "gradio")), f"{path}:{node.lineno} calls gr.load"
