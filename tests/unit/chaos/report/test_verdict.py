"""The verdict in words claims what was looked at, and no more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.chaos.report.verdict import first_remarks, noun_of, published, verdict_of
from holdfast.chaos.run.result import FoundProblem, InvariantResult, RunResult
from tests.support.chaos_runs import Shape, empty_run, invalid_run, unknown_run, valid_run


def holding(*names: str) -> RunResult:
    """A run with these invariants, all of which hold."""
    return replace(valid_run(), invariants=tuple(InvariantResult(name, "valid") for name in names))


def test_a_valid_run_says_how_much_was_tried_and_what_did_not_happen() -> None:
    run = valid_run()
    assert verdict_of(run).headline == (
        f"VALID: {run.counts['published']:,} events, 6 faults, nothing lost, doubled, wrong or reordered"
    )


@pytest.mark.parametrize(
    ("kind", "names", "claim"),
    [
        ("raw", ("no-lost-writes",), "nothing lost"),
        ("application", ("no-duplicates", "per-key-order"), "nothing doubled or reordered"),
        ("sequence", ("exactly-once", "no-lost-writes"), "nothing lost or doubled"),
        # Of what was acknowledged and is not in the log exactly-once knows nothing,
        ("sequence", ("exactly-once",), "nothing doubled"),
        # nor does the log know of outputs.
        ("bank", ("no-lost-writes", "no-duplicates"), "no-lost-writes and no-duplicates hold"),
        ("bank", ("conservation",), "nothing wrong"),
        ("raw", ("consistent-offsets",), "consistent-offsets holds"),
        ("raw", ("my-own",), "my-own holds"),
        ("raw", ("no-cycles", "my-own"), "no-cycles and my-own hold"),
    ],
)
def test_it_claims_only_what_an_invariant_is_about(kind: str, names: tuple[str, ...], claim: str) -> None:
    run = holding(*names)
    run = replace(run, workload={**run.workload, "kind": kind})
    assert verdict_of(run).text.endswith(f"6 faults, {claim}")


def test_what_is_broken_is_counted_once_although_two_invariants_found_it() -> None:
    assert verdict_of(invalid_run()).headline == "INVALID: 3 lost writes and 12 duplicates"


def test_what_is_allowed_is_not_in_the_headline() -> None:
    assert "unseen" not in verdict_of(invalid_run()).headline


def test_an_invariant_that_does_not_say_what_is_wrong_is_named() -> None:
    run = replace(valid_run(), invariants=(InvariantResult("my-own", "invalid"),))
    assert verdict_of(run).headline == "INVALID: my-own does not hold"


def test_a_long_list_of_problems_is_cut_and_says_so() -> None:
    found = tuple(FoundProblem(f"rule-{i}", "invalid", 1) for i in range(7))
    run = replace(valid_run(), invariants=(InvariantResult("my-own", "invalid", problems=found),))
    assert verdict_of(run).text.endswith("1 case of rule-3 and 3 other problems")


def test_unknown_says_why_and_the_other_reasons_stand_beside_it() -> None:
    verdict = verdict_of(unknown_run())
    assert verdict.headline.startswith("UNKNOWN: the output stood still for 60 s")
    assert verdict.remarks == (
        "fault 1 (worker.kill, any) went wrong: broker 2 is not the leader of input/0 any more",
        "fault 3 (worker.freeze, any) went wrong: it was not undone",
        "transactions-finished cannot be told: the run ended early",
    )


def test_a_fault_that_nothing_shows_or_that_lasts_on_says_so() -> None:
    run = valid_run()
    first, second, *others = run.faults
    faults = (replace(first, evidence={}), replace(second, ended=None), *others)
    verdict = verdict_of(replace(run, faults=faults))
    assert verdict.headline == (
        f"UNKNOWN: fault 1 ({first.kind}, {first.target}) went wrong: nothing shows that it happened"
    )
    assert verdict.remarks == (f"fault 2 ({second.kind}, {second.target}) went wrong: it was not undone",)


def test_a_run_that_showed_nothing_is_unknown() -> None:
    assert verdict_of(replace(empty_run(), trouble=())).headline == "UNKNOWN: no invariant was looked at"


def test_an_invalid_run_that_went_wrong_as_well_says_both() -> None:
    verdict = verdict_of(replace(invalid_run(), trouble=("the disk was full",)))
    assert (verdict.word, verdict.remarks) == ("INVALID", ("the disk was full",))


def test_events_are_as_they_were_counted_or_as_the_samples_add_up() -> None:
    run = valid_run(Shape(load_s=10, faults=1))
    assert published(replace(run, counts={})) == published(run) == sum(it.published for it in run.samples)


def test_one_case_is_told_in_the_singular() -> None:
    assert noun_of(FoundProblem("duplicate", "invalid", 1)) == "1 duplicate"
    assert noun_of(FoundProblem("G1a", "invalid", 1200)) == "1,200 aborted reads (G1a)"


def test_many_remarks_are_cut_where_they_are_shown() -> None:
    run = valid_run(Shape(faults=20))
    run = replace(run, faults=tuple(replace(fault, error="no such broker") for fault in run.faults))
    verdict = verdict_of(run)
    assert len(verdict.remarks) == 19
    assert first_remarks(verdict) == (*verdict.remarks[:6], "and 13 other remarks")
