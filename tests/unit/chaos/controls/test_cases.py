"""The catalogue of controls: each mistake is there once, with an experiment and a rule that must catch it."""

from __future__ import annotations

from collections import Counter

import pytest

from holdfast.chaos.checker import RULES
from holdfast.chaos.clients.loop.broken import BROKEN
from holdfast.chaos.clients.loop.mistakes import Mistake
from holdfast.chaos.controls.cases import RIGHT, WRONG, Case
from holdfast.chaos.controls.gauntlet import Outcome
from holdfast.chaos.controls.short import short_runs
from holdfast.chaos.run.labs import lab_settings
from holdfast.chaos.run.possible import require_possible
from holdfast.chaos.run.result import FaultSpan, FoundProblem, InvariantResult, RunResult

CASES = (*WRONG, *RIGHT)


def result(*problems: FoundProblem, trouble: tuple[str, ...] = (), error: str = "") -> RunResult:
    """A run in which one claim was looked at."""
    validity = "invalid" if any(problem.validity == "invalid" for problem in problems) else "valid"
    return RunResult(
        experiment="x",
        description="x",
        file="x",
        seed=0,
        command="x",
        began="x",
        machine="x",
        versions={},
        workload={},
        load_s=1.0,
        whole_s=1.0,
        counts={"published": 7},
        invariants=(InvariantResult("exactly-once", validity, "", problems),),
        trouble=trouble,
        faults=(FaultSpan("worker.kill", "any", ("worker-0",), 0.0, 1.0, {"begin": {}}, error),),
    )


def test_each_mistake_has_one_case_and_a_loop_that_makes_it() -> None:
    made = Counter(case.control.mistake for case in WRONG if case.control.mistake is not None)
    assert made == Counter(Mistake)
    assert set(BROKEN) == set(Mistake)
    assert len(set(BROKEN.values())) == len(Mistake) >= 15


def test_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_each_wrong_one_must_be_caught_by_a_rule_that_exists() -> None:
    assert {case.rule for case in WRONG} <= {rule.name for rule in RULES}


def test_whatever_a_mistake_is_looked_for_in_is_run_with_what_is_right() -> None:
    """By Holdfast, and by the loop with everything that is injected into wrong ones."""
    wanted = {(case.workload, case.situation) for case in WRONG}
    for engine in ("client", "holdfast"):
        assert {(case.workload, case.situation) for case in RIGHT if case.engine == engine} == wanted
    loops = [case.control for case in RIGHT if case.engine == "client"]
    assert all(control.aborts > 0 and control.lost_answers > 0 for control in loops)
    assert all(case.control.mistake is None and case.rule is None for case in RIGHT)


def test_short_runs_are_every_pair_of_who_is_right_and_a_situation_and_their_seeds_repeat_them() -> None:
    runs = dict(short_runs(0, 36))
    assert (
        len({(case.engine, case.workload, case.control, case.situation.name) for case in runs.values()}) == 36
    )
    assert all(case.rule is None and case.control.mistake is None for case in runs.values())
    assert dict(short_runs(17, 1)) == {17: runs[17]}
    assert runs[17].command(17) == "holdfast chaos controls --short 1 --seed 17"
    assert dict(short_runs(36, 1))[36].situation == runs[0].situation


SHORT = tuple(case for _, case in short_runs(0, 36))


@pytest.mark.parametrize("case", [*CASES, *SHORT], ids=lambda case: case.name)
def test_each_case_is_an_experiment_that_can_be_run_on_the_same_brokers(case: Case) -> None:
    experiment = case.experiment()
    require_possible(experiment)
    assert lab_settings(experiment, 0) == lab_settings(WRONG[0].experiment(), 0)


def test_a_mistake_is_caught_only_by_its_own_rule() -> None:
    case = next(case for case in WRONG if case.rule == "fold-twice")
    other = FoundProblem("fold-lost", "invalid", 3)
    assert not Outcome.of(case, result(other), 1.0).is_as_due
    caught = Outcome.of(case, result(other, FoundProblem("fold-twice", "invalid", 2)), 1.0)
    assert caught.is_as_due
    assert caught.found == {"fold-lost": 3, "fold-twice": 2}


def test_what_is_allowed_is_no_catch() -> None:
    case = next(case for case in WRONG if case.rule == "fold-twice")
    assert not Outcome.of(case, result(FoundProblem("fold-twice", "valid", 2)), 1.0).is_as_due


@pytest.mark.parametrize("trouble", [{"trouble": ("not steady",)}, {"error": "nobody has it"}])
def test_what_is_right_must_be_known_to_be_right(trouble: dict[str, str]) -> None:
    """A run that could not tell has not spared anybody."""
    assert Outcome.of(RIGHT[0], result(), 1.0).is_as_due
    unsure = Outcome.of(RIGHT[0], result(**trouble), 1.0)  # type: ignore[arg-type] # one of two keys
    assert not unsure.is_as_due
    assert unsure.trouble
