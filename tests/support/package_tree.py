"""The tree of packages as docs/architecture.md shows it: one line for each, from its docstring."""

import ast

from tests.support.repository import parsed, python_files

WIDTH = 34


def package_tree() -> str:
    """Packages of the backend and the pages, indented by depth, with the first line of their docstrings."""
    lines = []
    for path in python_files("backend", "ui"):
        if path.name == "__init__.py":
            depth, name = len(path.parts) - 2, f"{path.parent.name}/"
            summary = (ast.get_docstring(parsed(path)) or "").splitlines()[0]
            lines.append((path.parent.parts, f"{'  ' * depth + name:<{WIDTH}}{summary}"))
    return "\n".join(line for _, line in sorted(lines))


if __name__ == "__main__":
    print(package_tree())
