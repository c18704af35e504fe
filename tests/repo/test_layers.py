"""Imports point downwards only: the table of docs/architecture.md, enforced."""

import ast

import pytest

from tests.support.repository import imports_of, module_name, parsed, python_files

LAYERS = (
    ("hardware", "atomic_file"),
    ("nn", "audio", "monitor", "codes", "device"),
    ("codec", "lm", "music", "text", "data", "metrics"),
    ("optimize", "compression", "weights"),
    ("runtime", "storage"),
    ("pipeline", "training"),
    ("opt_engine",),
    ("evaluation",),
    ("app", "cli", "api", "cluster", "__main__"),
)
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
TOP = len(LAYERS) - 1
MAY_READ_SETTINGS = {"app", "cli", "api", "opt_engine", "cluster", "evaluation"}
SERVER_LIBRARIES = {"fastapi", "starlette", "uvicorn", "ray"}

BACKEND = python_files("backend")


def part_of(module: str) -> str:
    """`backend.codec.vq.residual` -> `codec`; the package itself is the empty part."""
    return module.partition(".")[2].partition(".")[0]


def broken_rule(importer: str, imported: str) -> str | None:
    """Say which rule an import breaks; both are parts of the backend."""
    if imported in ("", "errors", importer):
        return None
    if importer in ("", "errors"):
        return "the package and its errors import nothing"
    if imported == "settings":
        return None if importer in MAY_READ_SETTINGS else "settings are read by the top layers and opt_engine only"
    if importer == "settings":
        return "settings import errors only"
    if LEVEL[importer] == LEVEL[imported] == TOP:
        return "routes do not know who serves them" if importer == "api" else None
    return None if LEVEL[importer] > LEVEL[imported] else f"layer {LEVEL[importer]} uses layer {LEVEL[imported]}"


def test_every_part_of_the_backend_has_a_layer():
    parts = {part_of(module_name(path)) for path in BACKEND} - {"", "errors", "settings"}
    assert parts <= set(LEVEL), f"add these to the table and to docs/architecture.md: {sorted(parts - set(LEVEL))}"


@pytest.mark.parametrize("path", BACKEND, ids=str)
def test_imports_point_downwards(path):
    importer = part_of(module_name(path))
    for name in imports_of(path):
        if name.partition(".")[0] == "backend":
            rule = broken_rule(importer, part_of(name))
            assert rule is None, f"{path} imports {name}: {rule}"
        assert name.partition(".")[0] != "ui", f"{path} imports {name}: the pages are clients"


def test_the_rules_can_fail():
    assert broken_rule("codec", "lm")
    assert broken_rule("codes", "codec")
    assert broken_rule("pipeline", "settings")
    assert broken_rule("pipeline", "training")
    assert broken_rule("api", "app")
    assert broken_rule("opt_engine", "evaluation")
    assert broken_rule("weights", "codec") is None
    assert broken_rule("cli", "app") is None
    assert broken_rule("evaluation", "pipeline") is None


def test_server_libraries_stay_in_the_top_layer():
    for path in BACKEND:
        if LEVEL.get(part_of(module_name(path))) == TOP:
            continue
        found = {name for name in imports_of(path) if name.partition(".")[0] in SERVER_LIBRARIES}
        assert not found, f"{path} imports {sorted(found)}"


def test_routes_never_touch_torch():
    for path in BACKEND:
        if path.parts[:3] == ("backend", "api", "routes"):
            assert not {name for name in imports_of(path) if name.partition(".")[0] == "torch"}, path


def test_training_cannot_be_reached_from_the_app():
    graph = {module_name(path): [name for name in imports_of(path) if name.startswith("backend")] for path in BACKEND}
    seen, waiting = set(), ["backend.app"]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += graph.get(name, [])
    assert "backend.api" in {name.rpartition(".")[0] for name in seen}, "the walk found nothing"
    assert not [name for name in seen if name.startswith("backend.training")]


@pytest.mark.parametrize("path", python_files("ui"), ids=str)
def test_pages_import_neither_the_backend_nor_torch(path):
    found = {name for name in imports_of(path) if name.partition(".")[0] in ("backend", "torch")}
    assert not found, f"{path} imports {sorted(found)}"


def test_no_module_imports_everything_from_another():
    for path in python_files("backend", "ui"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}:{node.lineno} has a relative import"
                assert [alias.name for alias in node.names] != ["*"], f"{path}:{node.lineno} imports *"
