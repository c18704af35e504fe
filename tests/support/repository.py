"""The repository's files and their imports, as the tests of this folder see them."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def project_files() -> tuple[Path, ...]:
    """Every file that is or would be tracked, relative to the root."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = {Path(name) for name in listing.stdout.decode().split("\0") if name}
    return tuple(sorted(name for name in names if (ROOT / name).is_file()))


def python_files(*tops: str) -> list[Path]:
    """Python files below the given top-level folders; all of them if none is given."""
    return [path for path in project_files() if path.suffix == ".py" and (not tops or path.parts[0] in tops)]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=str(path))


def module_name(path: Path) -> str:
    """`backend/codec/base.py` -> `backend.codec.base`."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def own_modules() -> frozenset[str]:
    return frozenset(module_name(path) for path in python_files("backend", "ui"))


def imports_of(path: Path) -> Iterator[str]:
    """Full names of the modules a file imports anywhere, also inside functions and for type checking.

    A string that is exactly the dotted path of one of our modules, or of a name in one, counts too: lazily resolved
    registries must obey the layers like anyone else.
    """
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            inner = [name for name in names if name in own_modules()]
            yield from inner
            if len(inner) < len(names):
                yield node.module
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("backend."):
            name = node.value.replace(":", ".")
            while name.count(".") and name not in own_modules():
                name = name.rpartition(".")[0]
            if name != "backend":
                yield name
