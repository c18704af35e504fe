"""Names and documents use the standard terms of the field: words that needed a dictionary do not come back."""

import ast
import re

import pytest

from tests.support.repository import ROOT, parsed, project_files, python_files

# Word in a name: the term to use instead.
BANNED_IN_NAMES = {
    "door": "gateway, endpoint or route",
    "gate": "middleware",
    "shield": "security headers",
    "patience": "timeout",
    "portions": "chunks",
    "entrance": "middleware",
    "desk": "service",
    "tally": "summary",
    "hearing": "metric",
    "judge": "metric",
    "judges": "metrics",
    "audition": "validation",
    "auditions": "validation samples",
    "material": "dataset",
    "recipe": "config",
    "speakable": "script split",
    "likeness": "similarity",
    "tape": "CPU graph",
    "taped": "CPU graph",
    "drawer": "frame sampler",
    "wishes": "options",
    "told": "reported",
    "whoever": "caller",
    "anew": "again",
    "peers": "baselines",
    "seat": "load",
    "riddle": "",
}
BANNED_IN_PROSE = re.compile(
    r"\b(whoever|anew|at hand|nobody|lies in|given up|politely|heard after|misheard|likeness|is asked|ask for it"
    r"|the door|the gate|who comes|is told|are told|by heart)\b",
    re.IGNORECASE,
)
HISTORY = {"docs/log.md", "CHANGELOG.md"}
PROSE = [path for path in project_files() if path.suffix == ".md" and path.as_posix() not in HISTORY]
PROSE += [path for path in project_files() if path.as_posix() == "ui/labels.py"]


def words_of(name):
    """`CpuGraphStep` and `cpu_graph_step` -> cpu, graph, step."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def names_in(path):
    yield path.stem
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


@pytest.mark.parametrize("top", ["backend", "ui", "launcher", "benchmarks"])
def test_names_are_standard_terms(top):
    found = {
        f"{path}: {name} ({word}: say {BANNED_IN_NAMES[word]})"
        for path in python_files(top)
        for name in names_in(path)
        for word in words_of(name) & set(BANNED_IN_NAMES)
    }
    assert not found, "\n".join(sorted(found))


@pytest.mark.parametrize("path", PROSE, ids=str)
def test_documents_use_plain_words(path):
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    found = [f"{path}:{n}: {match[0]}" for n, line in enumerate(lines, 1) for match in BANNED_IN_PROSE.finditer(line)]
    assert not found, "\n".join(found)


def test_one_public_class_name_has_one_meaning():
    places = {}
    for path in python_files("backend", "ui"):
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(str(path))
    doubled = {name: where for name, where in places.items() if len(where) > 1}
    assert not doubled, doubled


def test_the_word_search_finds_names_and_phrases():
    assert words_of("CpuGraphStep") == words_of("cpu_graph_step") == {"cpu", "graph", "step"}
    assert words_of("KeyRing") == {"key", "ring"}
    assert BANNED_IN_PROSE.search("Whoever calls") and not BANNED_IN_PROSE.search("the gateway")
