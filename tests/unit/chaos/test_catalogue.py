"""The catalogue of rules, the docs and the tests tell of the same rules."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from holdfast.chaos.checker import RULES, Rule, check_finished, merged
from holdfast.chaos.checker.finished import PartitionEnd
from holdfast.chaos.checker.queries import QUERIES
from holdfast.chaos.history import read, send
from tests.support.stories import Story, verdict

PAGE = Path(__file__).parents[3] / "docs/guide/chaos-rules.md"
PROOFS = ("test_rules.py", "test_cycles.py", "test_fold.py")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_page_says_of_a_rule_what_the_catalogue_says(rule: Rule) -> None:
    row = f"| `{rule.name}` | {rule.meaning} | {rule.allowed or 'never'} | {rule.source} | {rule.differs} |"
    assert row in PAGE.read_text().splitlines()


def test_the_page_tells_of_no_other_rules() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|(?:[^|\n]*\|){4}$", PAGE.read_text(), re.MULTILINE)
    assert rows == [rule.name for rule in RULES]


def test_names_are_unique_and_every_query_is_a_rule() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert QUERIES.keys() <= set(names)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_is_named_in_a_test_that_it_has_to_pass(rule: Rule) -> None:
    assert any(f'"{rule.name}"' in (Path(__file__).parent / proof).read_text() for proof in PROOFS)


def test_verdicts_are_merged_and_are_json(tmp_path: Path) -> None:
    story = Story().ok("w", "send", send("x", 1, offset=0)).ok("r", "poll", read("x", 1, offset=0))
    whole = merged([verdict(story.operations, tmp_path), check_finished([PartitionEnd("out", 0, 1, 2)])])
    told = json.loads(json.dumps(whole.as_json()))
    assert told["validity"] == "invalid"
    assert [each["rule"] for each in told["findings"]] == ["unfinished-transactions"]
    assert "duplicate" in told["checked"]
    assert told["metrics"]["records_acknowledged"] == 1
    assert str(whole).startswith("INVALID\nunfinished-transactions: 1, NOT ALLOWED")
