"""Every rule reads its own examples, and a hand-made list of texts is read as written beside them."""

import re
from pathlib import Path

import pytest

from backend.text.normalization.english import RULES, normalize_english

EXAMPLES = [(rule.name, text, read) for rule in RULES for text, read in rule.examples]
PAIRS = [
    tuple(line.split(" => "))
    for line in Path(__file__).with_name("reading_pairs.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


@pytest.mark.parametrize(("name", "text", "read"), EXAMPLES)
def test_a_rule_reads_its_examples(name, text, read):
    assert normalize_english(text) == read


@pytest.mark.parametrize(("text", "read"), PAIRS)
def test_a_text_is_read_as_a_person_would(text, read):
    assert normalize_english(text) == read


def test_rules_have_names_and_nearly_all_have_examples():
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert len([rule for rule in RULES if not rule.examples]) <= 5
    assert len(EXAMPLES) + len(PAIRS) >= 400


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_changes_its_examples_only_where_it_matches(rule):
    changed = [text for text, read in rule.examples if text != read]
    assert not rule.examples or changed, "a rule needs one example that it changes"
    if rule.name not in ("number sign", "range"):
        assert any(rule.pattern.search(text) for text, _ in rule.examples) or not rule.examples


def test_no_rule_leaves_a_digit():
    assert not any(re.search(r"\d", normalize_english(text)) for text, _ in PAIRS)
