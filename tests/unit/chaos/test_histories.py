"""Nothing is said of a correct history, however much is unknown; of a spoilt one, its rule speaks."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from holdfast.chaos.checker import Validity
from holdfast.chaos.history import Outcome
from tests.support.histories import Shape, correct_history, side_by_side
from tests.support.mutations import MUTATIONS
from tests.support.stories import verdict

SEEDS = 200
AT_ONCE = 20
TROUBLED = Shape(operations=250, unknown=0.2, abort=0.25, crash=0.05, reassign=0.1)


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
@pytest.mark.parametrize("shape", [Shape(), TROUBLED], ids=["usual", "troubled"])
def test_a_correct_history_is_never_flagged(first: int, shape: Shape, tmp_path: Path) -> None:
    seeds = range(first, first + AT_ONCE)
    found = verdict(
        side_by_side([correct_history(seed, shape) for seed in seeds]), tmp_path, write_order=True
    )
    assert found.validity is Validity.VALID, f"of the seeds {seeds}: {found}"


def test_the_histories_hold_what_makes_it_hard() -> None:
    operations = side_by_side([correct_history(seed) for seed in range(10)])
    outcomes = Counter((each.action, each.outcome) for each in operations)
    for action, outcome in [
        ("txn", "ok"),
        ("txn", "fail"),
        ("txn", "unknown"),
        ("send", "unknown"),
        ("poll", "unknown"),
    ]:
        assert outcomes[action, Outcome(outcome)] > 5, outcomes
    assert any(each.ended is None for each in operations)
    assert any(each.rebalanced for each in operations)
    read_values = {
        (step.log, step.value) for each in operations for step in each.steps if step.kind == "read"
    }
    effects = {
        (step.log, step.value) in read_values
        for each in operations
        if each.outcome is Outcome.UNKNOWN
        for step in each.steps
        if step.kind == "send"
    }
    assert effects == {True, False}, "of what is unknown some happened, and some did not"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_caught_by_its_rule(name: str, seed: int, tmp_path: Path) -> None:
    rule, mutation = MUTATIONS[name]
    operations = correct_history(seed, Shape(operations=400))
    spoilt = mutation(operations, random.Random(seed))
    found = verdict(spoilt, tmp_path)
    assert found.validity is Validity.INVALID
    due = {"G1c-process", "G1c-realtime"} if rule == "G1c-process or -realtime" else {rule}
    assert due & {each.rule for each in found.findings if not each.is_allowed}, str(found)
