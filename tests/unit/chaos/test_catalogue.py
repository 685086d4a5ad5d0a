"""The catalogue of rules, the docs and the tests tell of the same rules."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from holdfast.chaos.checker import LOG_RULES, RULES, Rule, bank, check_finished, finished, fold, merged
from holdfast.chaos.checker.finished import PartitionEnd
from holdfast.chaos.checker.queries import QUERIES
from holdfast.chaos.experiment import INVARIANTS
from holdfast.chaos.history import read, send
from tests.support.stories import Story, verdict

PAGE = Path(__file__).parents[3] / "docs/guide/chaos-rules.md"
PROOFS = ("test_rules.py", "test_cycles.py", "test_fold.py")


def broken_by(rule: Rule) -> str:
    """Which invariants a case of a rule breaks, as the page says it."""
    names = [f"`{it.name}`" for it in INVARIANTS.values() if rule.name in it.rules]
    return ", ".join(names) or {"invariant": "your own"}.get(rule.name, "any")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_page_says_of_a_rule_what_the_catalogue_says(rule: Rule) -> None:
    row = (
        f"| `{rule.name}` | {rule.meaning} | {broken_by(rule)} | {rule.allowed or 'never'} | {rule.source} "
        f"| {rule.differs} |"
    )
    assert row in PAGE.read_text().splitlines()


def test_the_page_tells_of_no_other_rules() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|(?:[^|\n]*\|){5}$", PAGE.read_text(), re.MULTILINE)
    assert rows == [rule.name for rule in RULES]


def test_names_are_unique_and_every_query_is_a_rule() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert QUERIES.keys() <= set(names)


@pytest.mark.parametrize("rule", [*LOG_RULES, *fold.RULES, *bank.RULES, *finished.RULES])
def test_what_a_rule_finds_breaks_an_invariant(rule: str) -> None:
    """Otherwise an experiment could not claim its absence, and what it finds would change no verdict."""
    always_allowed = rule.startswith("G0") or rule == "int-send-skip"
    assert always_allowed or any(rule in invariant.rules for invariant in INVARIANTS.values())


@pytest.mark.parametrize("name", INVARIANTS)
def test_an_invariant_is_the_absence_of_what_rules_of_the_catalogue_find(name: str) -> None:
    rules = INVARIANTS[name].rules
    assert set(rules) <= {rule.name for rule in RULES}
    assert rules or name == "application-checks", "whose rules are the application's own"


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
