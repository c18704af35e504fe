"""Tables of documents whose rows name tests: the rows, and whether the tests are there."""

import ast
import re

from tests.support.repository import ROOT

NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows_of(text, heading, first_column):
    """The rows of the table below `heading`, without the one that begins with `first_column`."""
    part = text.partition(heading)[2].partition("\n## ")[0]
    return [line for line in part.splitlines() if line.startswith("| ") and not line.startswith(f"| {first_column} |")]


def check_row(row):
    claim, answer, shown = (cell.strip() for cell in row.strip("|").split("|"))
    assert claim and answer and NAMED.search(shown), row


def files_named_in(text):
    return sorted({path for path, _ in NAMED.findall(text)})


def check_tests_exist(text, path):
    named = {name for file, name in NAMED.findall(text) if file == path}
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert not named - {node.name for node in tree.body if hasattr(node, "name")}
    assert all(name.startswith("test_") for name in named)
