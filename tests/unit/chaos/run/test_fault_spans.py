"""What a result tells of the faults of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.chaos.experiment import PlannedFault, load, schedule
from holdfast.chaos.run.breaking import Broken
from holdfast.chaos.run.fault_spans import blows_of, fault_spans
from holdfast.chaos.run.nemesis import Done
from holdfast.errors import FaultFailed

TEXT = """
name: one
description: For tests.
workload: {kind: sequence}
time_limit: 60s
invariants: [exactly-once]
faults:
  - {at: 1s, fault: broker.kill, target: leader, for: 5s}
  - {at: 10s, fault: worker.crash, target: any}
  - {at: 20s, fault: broker.rolling}
"""


@pytest.fixture
def plan(tmp_path: Path) -> tuple[PlannedFault, ...]:
    """A fault that lasts, one of an instant, and one that lasts as long as it takes."""
    file = tmp_path / "one.yaml"
    file.write_text(TEXT)
    return schedule(load(file), 0)


def test_their_times_are_seconds_since_time_0(plan: tuple[PlannedFault, ...]) -> None:
    kill, crash, rolling = (
        Done(planned, ("x",), 100.0 + 10 * number, 105.0 + 10 * number) for number, planned in enumerate(plan)
    )
    spans = fault_spans([kill, crash, rolling], 99.0)
    assert [(span.kind, span.began, span.ended) for span in spans] == [
        ("broker.kill", 1.0, 6.0),
        # What was undone of an instant is a restart, which is no part of it.
        ("worker.crash", 11.0, 11.0),
        ("broker.rolling", 21.0, 26.0),
    ]
    assert (spans[0].target, spans[2].target) == ("leader", "all")


def test_one_that_was_not_undone_has_no_end_not_even_an_instant(plan: tuple[PlannedFault, ...]) -> None:
    assert [span.ended for span in fault_spans([Done(planned, began=1.0) for planned in plan], 0.0)] == [
        None
    ] * 3


def test_the_output_recovers_from_those_that_happened(plan: tuple[PlannedFault, ...]) -> None:
    """Their places are those in the result, where the others are as well."""
    kill, crash, rolling = (Done(planned, began=float(number)) for number, planned in enumerate(plan))
    crash.fail(FaultFailed("nobody is meant now"))
    assert [(blow.place, blow.began) for blow in blows_of([kill, crash, rolling])] == [(0, 0.0), (2, 2.0)]


def test_one_that_was_left_out_is_none(plan: tuple[PlannedFault, ...]) -> None:
    kill, crash, rolling = (Done(planned, began=9.0 - number) for number, planned in enumerate(plan))
    rolling.left_out = "nobody leads"
    broken = Broken(0.0, done=[kill, crash, rolling])
    assert broken.faults == [crash, kill]
    assert broken.left_out == [rolling]
