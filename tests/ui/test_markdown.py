"""User texts render unchanged in Markdown."""

from itertools import pairwise

import pytest

from ui.markdown import escape_markdown


@pytest.mark.parametrize(
    "text", ["It costs $5, not $6.", "*Stop*, she said. [So?](x)", "# 1. a_b_c & <b>", ":red[x] `y` \\ ~z~ |"]
)
def test_every_special_character_is_escaped_and_nothing_else_changes(text):
    shown = escape_markdown(text)
    assert shown.replace("\\\\", "\0").replace("\\", "").replace("\0", "\\") == text
    assert all(before == "\\" for before, mark in pairwise(shown) if mark in "$*[]#_<&`~|")
