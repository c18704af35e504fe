"""Rules about the files themselves: names, size, what they may and may not hold."""

import ast
import re

import pytest

from tests.support.repository import ROOT, parsed, project_files, python_files

VAGUE = {"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc", "core", "stuff", "handler"}
VAGUE |= {"handlers", "tools", "new", "temp", "tmp", "old", "quantization", "quantisation"}
# Five models and a soundfont: voice 16 MB, speech codec 11, music codecs 11 and 14, sound codec 5, instruments 6.
MAX_TREE_BYTES = 85_000_000
# What a person starts: these may set up logging and threads for the whole process.
PROGRAMS = {"backend/app.py", "backend/cli/main.py", "backend/cli/train.py"}
TEXT = {".py", ".md", ".toml", ".txt", ".sh", ".bat", ".yaml", ".yml", ".json", ".cfg", ".ipynb", ".example", ""}

# Written in pieces, so that this file passes its own test.
FORBIDDEN = {
    "a path of some machine": re.compile(
        r"(?<![\w.])/(?:" + "|".join(["wo" + "rk", "ro" + "ot", "ho" + "me"]) + r")/\w"
    ),
    "a Windows user's folder": re.compile("C:" + r"\\+Users\\+\w", re.IGNORECASE),
    "a package registry's host": re.compile(
        "py" + r"pi|pythonho" + r"sted|registry\.np" + "mjs|deb\\.deb" + "ian", re.I
    ),
}


def text_of(path):
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names(what):
    found = []
    for path in project_files():
        if path.suffix in TEXT:
            lines = text_of(path).splitlines()
            found += [
                f"{path}:{n}: {line.strip()[:80]}" for n, line in enumerate(lines, 1) if FORBIDDEN[what].search(line)
            ]
    assert not found, f"{what}: " + "\n".join(found)


def test_file_names_are_nouns_of_the_domain():
    named = {part.partition(".")[0].lower(): path for path in project_files() for part in path.parts}
    assert not {name: str(path) for name, path in named.items() if name in VAGUE}


def test_the_tree_is_small_enough_to_clone():
    sizes = {path: (ROOT / path).stat().st_size for path in project_files()}
    largest = sorted(sizes, key=sizes.__getitem__)[-5:]
    assert sum(sizes.values()) < MAX_TREE_BYTES, [(str(path), sizes[path]) for path in largest]


def test_source_packages_hold_no_tests():
    for path in python_files("backend", "ui"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert not node.name.startswith("test"), f"{path}:{node.lineno}: tests live in tests/"


def test_nothing_prints_below_the_command_line():
    for path in python_files("backend", "ui"):
        if path.as_posix() == "backend/cli/main.py":
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", f"{path}:{node.lineno} prints: use the module's logger"


def test_logging_is_configured_by_programs_only():
    for path in python_files("backend", "ui"):
        if path.as_posix() in PROGRAMS:
            continue
        assert "basicConfig" not in text_of(path), path


PICKLES = re.compile(r"(pickle|dill|joblib|shelve|marshal)\.(?!\w*Error$)\w+")


def unsafe_reads(tree: ast.Module) -> list[tuple[int, str]]:
    """Lines that read pickles: the pickle modules (their errors aside), `torch.load` and `allow_pickle`."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute):
            names = [ast.unparse(node)]
        else:
            names = []
        found += [(node.lineno, name) for name in names if PICKLES.fullmatch(name)]
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            is_safe = any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)
            found.append((node.lineno, "torch.load, weights only" if is_safe else "torch.load"))
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            found.append((node.value.lineno, "allow_pickle"))
    return found


def test_foreign_pickles_are_read_in_one_place_without_running_code():
    for path in python_files("backend", "ui", "benchmarks", "launch.py"):
        for line, what in unsafe_reads(parsed(path)):
            is_reader = path.parts[:2] == ("backend", "weights") and what == "torch.load, weights only"
            assert is_reader, f"{path}:{line}: {what}"


def test_the_search_for_pickles_finds_them():
    code = """
import pickle
from pickle import loads, UnpicklingError
pickle.load(f)
pickle.UnpicklingError
torch.load('a')
torch.load('a', weights_only=True)
torch.load('a', weights_only=False)
numpy.load('a', allow_pickle=True)
"""
    found = [what for _, what in unsafe_reads(ast.parse(code))]
    unsafe = ["allow_pickle", "pickle.load", "pickle.loads", "torch.load", "torch.load", "torch.load, weights only"]
    assert sorted(found) == unsafe


def test_every_source_file_says_what_it_is():
    silent = [str(path) for path in python_files("backend", "ui") if not ast.get_docstring(parsed(path))]
    assert not silent, f"files without a docstring: {silent}"
