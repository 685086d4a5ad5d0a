"""Recovery by kind of fault."""

from __future__ import annotations

from dataclasses import replace

from holdfast.chaos.report.recovery import Spread, recovery_by_kind, recovery_of_all, spread
from holdfast.chaos.run.result import Recovery
from tests.support.chaos_runs import Shape, valid_run


def test_a_quantile_is_a_time_that_was_measured() -> None:
    times = [float(i) for i in range(1, 21)]
    assert spread(times) == Spread(20, 10.0, 19.0, 20.0)
    assert spread(times[::-1]) == spread(times)


def test_of_few_times_p95_is_the_longest() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(3, 2.0, 3.0, 3.0)
    assert spread([4.0]) == Spread(1, 4.0, 4.0, 4.0)


def test_of_no_time_there_is_no_quantile_and_what_is_no_number_does_not_count() -> None:
    assert spread([]) is None
    assert spread([float("nan"), 2.0]) == Spread(1, 2.0, 2.0, 2.0)


def test_kinds_come_as_they_came_first_with_all_of_their_faults() -> None:
    run = valid_run(Shape(faults=5, kinds=("broker.kill", "worker.kill")))
    assert [(it.kind, it.faults) for it in recovery_by_kind(run)] == [("broker.kill", 3), ("worker.kill", 2)]


def test_a_fault_after_which_nothing_was_normal_is_counted_and_not_averaged_away() -> None:
    run = valid_run(Shape(faults=2, kinds=("broker.kill",)))
    run = replace(run, recovery=(Recovery(0, 1.0, 5.0, 6.0), Recovery(1, None, 9.0, None)))
    (kind,) = recovery_by_kind(run)
    assert (kind.never, kind.back_to_normal, kind.detection) == (1, spread([6.0]), spread([1.0]))
    assert kind.longest_gap == spread([5.0, 9.0])
    assert recovery_of_all(run).never == 1


def test_a_recovery_of_a_fault_that_is_not_there_is_left_out() -> None:
    run = replace(valid_run(Shape(faults=1)), recovery=(Recovery(7, None, 1.0, 2.0),))
    assert recovery_by_kind(run) == ()
