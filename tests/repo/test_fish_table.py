"""Every correction that docs/fish.md claims names tests, and those tests are there."""

import ast
import re

import pytest

from tests.repo.tree import ROOT

TEXT = (ROOT / "docs/fish.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
CORRECTED = TEXT.partition("## What was corrected")[2]
ROWS = [line for line in CORRECTED.splitlines() if line.startswith("| ") and not line.startswith("| the reference |")]


def functions_of(path):
    return {node.name for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body if hasattr(node, "name")}


def test_every_row_has_a_claim_and_a_test():
    assert len(ROWS) > 50
    for row in ROWS:
        left, right, shown = (cell.strip() for cell in row.strip("|").split("|"))
        assert left and right and NAMED.search(shown), row


@pytest.mark.parametrize("path", sorted({path for path, _ in NAMED.findall(TEXT)}))
def test_tests_that_are_named_exist(path):
    named = {name for file, name in NAMED.findall(TEXT) if file == path}
    assert not named - functions_of(path)
    assert all(name.startswith("test_") for name in named)
