"""What a run says as a whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.chaos.run.result import FaultSpan, InvariantResult, RunResult

DONE = FaultSpan("broker.kill", "leader", ("broker-1",), 1.0, 9.0, {"begin": {"ended": {}}, "end": {}})
HOLDS = InvariantResult("exactly-once", "valid", "3 inputs, 3 outputs")
RESULT = RunResult(
    experiment="one",
    description="For tests.",
    file="one.yaml",
    seed=3,
    command="holdfast chaos run one.yaml --seed 3",
    began="2026-11-30T12:00:00+00:00",
    machine="two cores",
    versions={"kafka": "4.3.1"},
    workload={"kind": "sequence"},
    load_s=60.0,
    whole_s=90.0,
    counts={"published": 3},
    invariants=(HOLDS,),
    faults=(DONE,),
)


def test_a_run_is_valid_where_every_claim_holds_and_every_fault_happened() -> None:
    assert RESULT.validity == "valid"


@pytest.mark.parametrize(
    "fault",
    [
        replace(DONE, error="it takes root"),
        replace(DONE, evidence={}),
        replace(DONE, ended=None),
    ],
    ids=["failed", "no evidence", "never undone"],
)
def test_a_fault_that_did_not_happen_in_order_leaves_the_verdict_unknown(fault: FaultSpan) -> None:
    assert replace(RESULT, faults=(DONE, fault)).validity == "unknown"


def test_a_broken_claim_outweighs_everything_else() -> None:
    broken = replace(HOLDS, validity="invalid")
    assert replace(RESULT, invariants=(HOLDS, broken), trouble=("late",)).validity == "invalid"


def test_a_run_in_which_something_went_wrong_or_nothing_was_claimed_tells_nothing() -> None:
    assert replace(RESULT, trouble=("not steady",)).validity == "unknown"
    assert replace(RESULT, invariants=()).validity == "unknown"


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert RunResult.load(RESULT.save(tmp_path)) == RESULT
    assert RunResult.load(tmp_path) == RESULT


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path = RESULT.save(tmp_path)
    path.write_text(path.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(ValueError, match="no result of a run of format 1"):
        RunResult.load(path)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("seed", "abc", "seed: Input should be a valid integer"),
        ("seed", None, "seed: Input should be a valid integer"),
        ("workload", [1], "workload: Input should be an object"),
        ("file", 5, "file: Input should be a valid string"),
        ("samples", [{"at": 1}], r"samples\.0\.\w+: Field required"),
        ("invariants", [{"name": "a", "validity": "perhaps"}], "no verdict is called 'perhaps'"),
        (
            "recovery",
            [{"fault": 99, "detection": None, "longest_gap": 0, "back_to_normal": None}],
            "recovery",
        ),
        ("news", 1, "parts that are not known: news"),
    ],
)
def test_a_file_with_something_else_in_a_place_is_refused_with_that_place(
    tmp_path: Path, key: str, value: object, told: str
) -> None:
    path = RESULT.save(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(ValueError, match=told):
        RunResult.load(path)


def test_a_file_that_lacks_its_faults_is_not_taken_for_one_of_a_run_without_any(tmp_path: Path) -> None:
    path = RESULT.save(tmp_path)
    held = json.loads(path.read_text())
    del held["faults"]
    path.write_text(json.dumps(held))
    with pytest.raises(ValueError, match="it has no faults"):
        RunResult.load(path)


def test_a_file_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    path = RESULT.save(tmp_path)
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="recursion limit"):
        RunResult.load(path)
