"""Every correction that docs/fish.md claims names tests, and those tests are there."""

import pytest

from tests.support.named_tests import check_row, check_tests_exist, files_named_in, rows_of
from tests.support.repository import ROOT

TEXT = (ROOT / "docs/fish.md").read_text(encoding="utf-8")
ROWS = rows_of(TEXT, "## What was corrected", "the reference")


def test_every_row_has_a_claim_and_a_test():
    assert len(ROWS) > 50
    for row in ROWS:
        check_row(row)


@pytest.mark.parametrize("path", files_named_in(TEXT))
def test_tests_that_are_named_exist(path):
    check_tests_exist(TEXT, path)
