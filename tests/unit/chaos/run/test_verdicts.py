"""What becomes of an experiment's claims, from a history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from holdfast.chaos.checker import Verdict
from holdfast.chaos.checker.finished import PartitionEnd
from holdfast.chaos.experiment import Experiment, OwnInvariant, load
from holdfast.chaos.history import Recorder, read, seal, send
from holdfast.chaos.run.result import InvariantResult, RunResult
from holdfast.chaos.run.verdicts import Evidence, judge
from holdfast.chaos.workloads.plans import SEQUENCE
from holdfast.checks import CheckResult, run_checks
from holdfast.errors import HistoryError
from tests.support.chaos_runs import valid_run

TEXT = """
name: one
description: For tests.
workload: {kind: sequence}
time_limit: 60s
faults:
  - {at: 5s, fault: broker.kill, target: leader, for: 5s}
invariants: [exactly-once, state-fold, no-lost-writes, per-key-order, transactions-finished]
"""
Record = Callable[[Recorder], None]


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    """An experiment that claims a little of everything."""
    file = tmp_path / "one.yaml"
    file.write_text(TEXT)
    return load(file)


def judged(
    folder: Path,
    experiment: Experiment,
    record: Record,
    ends: tuple[PartitionEnd, ...] | None = None,
    *,
    is_complete: bool = True,
) -> dict[str, InvariantResult]:
    """What becomes of the claims, by name."""
    with Recorder(folder / "recordings") as recorder:
        record(recorder)
    history = seal(folder / "recordings", folder / "history")
    given = (PartitionEnd("stepped", 0, 5, 5),) if ends is None else ends
    return {found.name: found for found in judge(Evidence(experiment, history, SEQUENCE, given, is_complete))}


def sends(recorder: Recorder, *numbers: int) -> None:
    """Steps of one key, sent without waiting for one another, and read at the end."""
    begun = [recorder.invoke("load-0", "send", [send("steps-0", n, key="k")]) for n in numbers]
    for offset, (operation, n) in enumerate(zip(begun, numbers, strict=True)):
        operation.ok([send("steps-0", n, key="k", offset=offset)])
    recorder.invoke("reader", "assign").ok(assigned=["steps-0"], sought=["steps-0"])
    steps = [read("steps-0", n, key="k", offset=offset) for offset, n in enumerate(numbers)]
    recorder.invoke("reader", "poll").ok(steps)


def processes(recorder: Recorder, *numbers: int, outputs: tuple[int, ...] = ()) -> None:
    """Inputs with these numbers, and right outputs for those at the given offsets."""
    state = {"last": 0, "count": 0, "total": 0}
    for offset, n in enumerate(numbers):
        recorder.row("inputs", topic="steps", partition=0, offset=offset, key="k", value=n)
    for position, offset in enumerate(outputs):
        n = numbers[offset]
        state = {"last": n, "count": state["count"] + 1, "total": state["total"] + n}
        recorder.row(
            "outputs", position=position, key="k", topic="steps", partition=0, offset=offset, state=state
        )


def test_every_claim_holds_where_all_is_right(tmp_path: Path, experiment: Experiment) -> None:
    def record(recorder: Recorder) -> None:
        sends(recorder, 1, 2, 3)
        processes(recorder, 1, 2, 3, outputs=(0, 1, 2))

    found = judged(tmp_path, experiment, record)
    assert {one.validity for one in found.values()} == {"valid"}
    assert found["exactly-once"].looked_at == "3 inputs, 3 outputs"
    assert found["no-lost-writes"].looked_at == "3 of 3 sends acknowledged, 3 reads"


def test_order_is_not_kept_where_nothing_has_one(tmp_path: Path, experiment: Experiment) -> None:
    """Keys that are used once, or none: nothing was compared, so nothing is claimed."""

    def record(recorder: Recorder) -> None:
        for n in (1, 2, 3):
            recorder.invoke("load-0", "send").ok([send("steps-0", n, key=f"k{n}", offset=n)])
        steps = [read("steps-0", n, key=f"k{n}", offset=n) for n in (1, 2, 3)]
        recorder.invoke("reader", "poll").ok(steps)

    only = replace(experiment, invariants=("per-key-order",))
    found = judged(tmp_path, only, record)["per-key-order"]
    assert found.validity == "invalid"
    (problem,) = [one for one in found.problems if "order" in one.examples[0]]
    assert problem.rule == "not-evaluated"
    assert "no process has sent two records with the same key" in problem.examples[0]


def test_each_claim_is_broken_by_what_it_is_about(tmp_path: Path, experiment: Experiment) -> None:
    def record(recorder: Recorder) -> None:
        sends(recorder, 2, 1)
        processes(recorder, 1, 2, 3, outputs=(0, 2, 2))

    found = judged(tmp_path, experiment, record, (PartitionEnd("stepped", 0, 4, 5),))
    rules = {name: {problem.rule for problem in one.problems} for name, one in found.items()}
    assert rules["exactly-once"] == {"fold-lost", "fold-twice"}
    assert rules["transactions-finished"] == {"unfinished-transactions"}
    assert found["exactly-once"].validity == found["transactions-finished"].validity == "invalid"
    assert found["no-lost-writes"].validity == "valid"


def test_what_nobody_could_look_at_holds_for_nothing(tmp_path: Path, experiment: Experiment) -> None:
    found = judged(tmp_path, experiment, lambda _: None, ())
    assert found["exactly-once"].validity == "invalid", "not evaluated is not right"
    assert found["no-lost-writes"].validity == "unknown"
    assert found["transactions-finished"].validity == "invalid"


def test_a_history_that_means_nothing_makes_claims_about_it_unknown(
    tmp_path: Path, experiment: Experiment
) -> None:
    """Here a process does two things at once: whatever its rules are called, no claim may come out valid."""

    def record(recorder: Recorder) -> None:
        sends(recorder, 1)
        first = recorder.invoke("p", "poll")
        recorder.invoke("p", "poll").ok([read("steps-0", 1, key="k", offset=0)])
        first.ok()
        processes(recorder, 1, outputs=(0,))

    found = judged(tmp_path, replace(experiment, invariants=("no-lost-writes", "per-key-order")), record)
    assert {one.validity for one in found.values()} == {"unknown"}
    assert {problem.rule for problem in found["per-key-order"].problems} == {"overlapping-operations"}


def test_a_workload_without_a_fold_keeps_its_claims_about_the_log(
    tmp_path: Path, experiment: Experiment
) -> None:
    with Recorder(tmp_path / "recordings") as recorder:
        sends(recorder, 1, 2)
    history = seal(tmp_path / "recordings", tmp_path / "history")
    claims = replace(experiment, invariants=("no-lost-writes",))
    [found] = judge(Evidence(claims, history, None, ()))
    assert found.validity == "valid"


def raw_claims(folder: Path, *names: str) -> Experiment:
    """An experiment on clients' transactions, with these claims."""
    file = folder / "raw.yaml"
    text = TEXT.replace("kind: sequence", "kind: raw")
    file.write_text(text.partition("invariants:")[0] + f"invariants: [{', '.join(names)}]\n")
    return load(file)


def raw_judged(
    folder: Path, record: Record, *names: str, is_complete: bool = True
) -> dict[str, InvariantResult]:
    """What becomes of claims about clients' transactions, by name."""
    with Recorder(folder / "recordings") as recorder:
        record(recorder)
    history = seal(folder / "recordings", folder / "history")
    ends = (PartitionEnd("logs", 0, 5, 5),)
    evidence = Evidence(raw_claims(folder, *names), history, None, ends, is_complete)
    return {found.name: found for found in judge(evidence)}


def torn(recorder: Recorder) -> None:
    """A transaction of two records, the second of which is gone."""
    sent = [send("a", 1, offset=0), send("b", 2, offset=0)]
    recorder.invoke("p", "txn", sent).ok(sent)
    recorder.invoke("reader", "assign").ok(assigned=["a", "b"], sought=["a", "b"])
    recorder.invoke("reader", "poll").ok([read("a", 1, offset=0)])


def test_a_torn_transaction_breaks_the_claim_that_transactions_are_atomic(tmp_path: Path) -> None:
    found = raw_judged(tmp_path, torn, "atomic-transactions", "no-lost-writes", "no-duplicates")
    assert [problem.rule for problem in found["atomic-transactions"].problems] == ["torn-transaction"]
    assert [problem.rule for problem in found["no-lost-writes"].problems] == ["unseen"]
    assert {name: it.validity for name, it in found.items()} == {
        "atomic-transactions": "invalid",
        "no-lost-writes": "invalid",
        "no-duplicates": "valid",
    }


def test_where_not_all_was_read_only_the_claims_about_what_is_missing_are_unknown(tmp_path: Path) -> None:
    claims = ("atomic-transactions", "no-lost-writes", "no-duplicates")
    found = raw_judged(tmp_path, torn, *claims, is_complete=False)
    assert [found[name].validity for name in claims] == ["unknown", "unknown", "valid"]
    assert found["atomic-transactions"].problems[0].why == "not all was processed and read in time"


def test_a_read_of_what_nobody_sent_breaks_consistent_offsets(tmp_path: Path) -> None:
    def record(recorder: Recorder) -> None:
        recorder.invoke("p", "txn").ok([send("a", 1, offset=0)])
        recorder.invoke("reader", "poll").ok([read("a", 1, offset=0), read("a", 99, offset=1)])

    found = raw_judged(tmp_path, record, "consistent-offsets")["consistent-offsets"]
    assert (found.validity, [problem.rule for problem in found.problems]) == ("invalid", ["stray-read"])


def test_acknowledged_writes_at_the_end_of_a_log_are_lost_too(tmp_path: Path) -> None:
    """No record behind them was read, so that only the last reader can tell."""

    def record(recorder: Recorder) -> None:
        for n in (1, 2, 3):
            recorder.invoke("p", "send").ok([send("a", n, offset=n)])
        recorder.invoke("reader", "poll").ok([read("a", 1, offset=1)])

    found = raw_judged(tmp_path, record, "no-lost-writes")["no-lost-writes"]
    assert (found.validity, found.problems[0].rule, found.problems[0].count) == ("invalid", "unseen", 2)


def test_what_was_not_processed_in_time_is_not_called_lost(tmp_path: Path, experiment: Experiment) -> None:
    def record(recorder: Recorder) -> None:
        sends(recorder, 1, 2)
        processes(recorder, 1, 2, outputs=(0,))

    found = judged(tmp_path, experiment, record, is_complete=False)
    assert found["exactly-once"].validity == "unknown"
    [problem] = found["exactly-once"].problems
    assert (problem.rule, problem.why) == ("fold-lost", "not all was processed and read in time")


def test_what_the_lab_could_not_read_is_unknown_and_not_wrong(tmp_path: Path, experiment: Experiment) -> None:
    """Nothing was recorded of the end, and the ends of partitions were not told."""
    claims = replace(experiment, invariants=(*experiment.invariants, "conservation"))
    found = judged(tmp_path, claims, lambda recorder: sends(recorder, 1), (), is_complete=False)
    wanted = ("exactly-once", "state-fold", "conservation", "transactions-finished")
    for name in wanted:
        [problem] = found[name].problems
        assert (problem.rule, problem.validity) == ("not-evaluated", "unknown"), name
        assert found[name].validity == "unknown"


def test_a_transaction_that_stays_open_is_wrong_also_where_not_all_was_read(
    tmp_path: Path, experiment: Experiment
) -> None:
    """It is itself why not all could be read."""
    stuck = (PartitionEnd("stepped", 0, 4, 5),)
    found = judged(tmp_path, experiment, lambda recorder: sends(recorder, 1), stuck, is_complete=False)
    assert found["transactions-finished"].validity == "invalid"


@pytest.mark.parametrize("sql", ["SELECT * FROM operations", "SELECT * FROM postings"])
def test_what_own_claims_find_is_unknown_where_not_all_was_read(
    tmp_path: Path, experiment: Experiment, sql: str
) -> None:
    """Also that there was nothing to look at."""
    claims = replace(experiment, own_invariants=(OwnInvariant(name="own", sql=sql),))
    found = judged(tmp_path, claims, lambda recorder: sends(recorder, 1), is_complete=False)["own"]
    assert found.validity == "unknown"


def test_the_order_of_a_key_is_that_of_what_was_made_of_it_too(
    tmp_path: Path, experiment: Experiment
) -> None:
    def record(recorder: Recorder) -> None:
        sends(recorder, 1, 2, 3)
        processes(recorder, 1, 2, 3, outputs=(0, 2, 1))

    found = judged(tmp_path, experiment, record)["per-key-order"]
    assert (found.validity, [problem.rule for problem in found.problems]) == ("invalid", ["fold-order"])
    assert found.looked_at == "3 of 3 sends acknowledged, 3 reads, 3 inputs, 3 outputs"


def test_an_own_claim_says_what_it_looked_at(tmp_path: Path, experiment: Experiment) -> None:
    """One about what this workload has nothing of holds for nothing."""
    queries = {
        "sends": "SELECT * FROM steps s JOIN operations o USING (op) WHERE s.value < 0",
        "overdraft": "SELECT * FROM postings WHERE balance < 0",
    }
    own = tuple(OwnInvariant(name=name, sql=sql) for name, sql in queries.items())
    claims = replace(experiment, own_invariants=own)
    found = judged(tmp_path, claims, lambda recorder: sends(recorder, 1))
    assert (found["sends"].validity, found["sends"].looked_at) == ("valid", "3 operations, 2 steps")
    assert (found["overdraft"].validity, found["overdraft"].looked_at) == ("invalid", "0 postings")
    assert [problem.rule for problem in found["overdraft"].problems] == ["not-evaluated"]


def test_a_function_is_found_beside_the_experiment(tmp_path: Path, experiment: Experiment) -> None:
    (tmp_path / "own_checks_found.py").write_text(
        "from holdfast.chaos.checker.invariants import Evaluated\n"
        "def holds(database):\n"
        "    return Evaluated(database.number('SELECT count(*) FROM steps'), ['no'])\n"
    )
    own = (OwnInvariant(name="own", check="own_checks_found:holds"),)
    claims = replace(experiment, own_invariants=own)
    found = judged(tmp_path, claims, lambda recorder: sends(recorder, 1))["own"]
    assert (found.validity, found.looked_at) == ("invalid", "2 things")


def test_an_invariant_that_cannot_be_evaluated_leaves_the_others_alone(
    tmp_path: Path, experiment: Experiment
) -> None:
    own = OwnInvariant(name="typo", sql="SELECT * FROM history")
    claims = replace(experiment, invariants=("no-lost-writes",), own_invariants=(own,))
    found = judged(tmp_path, claims, lambda recorder: sends(recorder, 1))
    assert found["no-lost-writes"].validity == "valid"
    assert found["typo"].validity == "unknown"
    assert "history" in found["typo"].problems[0].examples[0]


def no_room(*_: object, **__: object) -> Verdict:
    """A check that ends as one for which DuckDB has no room."""
    raise HistoryError("Out of Memory Error: failed to allocate data")


def test_a_check_that_could_not_be_made_leaves_what_others_have_found(
    tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a claim is about that check alone, or about two of them."""

    def record(recorder: Recorder) -> None:
        sends(recorder, 1, 2)
        processes(recorder, 1, 2, outputs=(0,))

    claims = replace(experiment, invariants=("exactly-once", "no-lost-writes", "per-key-order"))
    monkeypatch.setattr("holdfast.chaos.run.verdicts.check", no_room)
    found = judged(tmp_path, claims, record)
    assert {name: it.validity for name, it in found.items()} == {
        "exactly-once": "invalid",
        "no-lost-writes": "unknown",
        "per-key-order": "unknown",
    }
    [problem] = found["no-lost-writes"].problems
    assert (problem.rule, problem.validity, problem.count) == ("not-evaluated", "unknown", 1)
    assert problem.examples == ("it could not be checked: Out of Memory Error: failed to allocate data",)
    assert found["no-lost-writes"].looked_at == ""


def test_a_check_that_could_not_be_made_is_tried_once(
    tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have taken minutes until there was no room left."""
    tried = list[int]()

    def check(*_: object) -> Verdict:
        tried.append(1)
        return no_room()

    claims = replace(experiment, invariants=("no-lost-writes", "no-duplicates", "consistent-offsets"))
    monkeypatch.setattr("holdfast.chaos.run.verdicts.check", check)
    found = judged(tmp_path, claims, lambda recorder: sends(recorder, 1), is_complete=False)
    assert len(tried) == 1
    assert {it.problems[0].why for it in found.values()} == {""}, "that not all was read is not why"


def checked(tmp_path: Path, *checks: CheckResult, is_complete: bool = True) -> InvariantResult:
    """What becomes of an application's own checks."""
    file = tmp_path / "application.yaml"
    file.write_text(
        TEXT.replace("{kind: sequence}", "{kind: application, topology: topology.yaml}").replace(
            "exactly-once, state-fold", "application-checks"
        )
    )
    with Recorder(tmp_path / "recordings") as recorder:
        sends(recorder, 1)
    history = seal(tmp_path / "recordings", tmp_path / "history")
    evidence = Evidence(load(file), history, None, (PartitionEnd("out", 0, 1, 1),), is_complete, checks)
    return next(found for found in judge(evidence) if found.name == "application-checks")


def test_each_check_of_an_application_is_told_with_its_counts_and_violations(tmp_path: Path) -> None:
    holds = CheckResult.of("stock adds up", [], articles=1_000)
    broken = CheckResult.of("each order ends once", ["order 7 has 2 outcomes", "order 8 has 0"], placed=9)
    found = checked(tmp_path, holds, broken)
    assert found.validity == "invalid"
    assert found.looked_at == "stock adds up (articles 1,000); each order ends once (placed 9)"
    [problem] = found.problems
    assert (problem.rule, problem.count) == ("check: each order ends once", 2)
    assert problem.examples == ("order 7 has 2 outcomes", "order 8 has 0")


def test_checks_that_hold_are_valid(tmp_path: Path) -> None:
    assert checked(tmp_path, CheckResult.of("stock adds up", [])).validity == "valid"


def test_a_check_that_was_made_before_all_was_processed_shows_nothing(tmp_path: Path) -> None:
    broken = CheckResult.of("each order ends once", ["order 7 is open"])
    found = checked(tmp_path, broken, is_complete=False)
    assert (found.validity, found.problems[0].why) == ("unknown", "not all was processed and read in time")


def test_checks_that_could_not_be_made_hold_for_nothing(tmp_path: Path) -> None:
    assert checked(tmp_path, is_complete=False).validity == "unknown"


def test_whatever_checks_return_is_judged_and_can_be_kept(tmp_path: Path) -> None:
    """A run of an hour hangs on it: its broken claim may not get lost with the text of an example."""
    checks: dict[str, Any] = {
        "own:nothing": lambda _: None,
        "own:tuples": lambda _: CheckResult.of("stock adds up", [("a-1", Decimal(3))], articles=2),
        "own:text": lambda _: CheckResult("orders end", True, {"placed": "nine"}),  # type: ignore[dict-item]
    }
    found = checked(tmp_path, *run_checks(checks, None))  # type: ignore[arg-type] # nobody reads
    assert found.validity == "invalid"
    assert [problem.rule for problem in found.problems] == [
        "check: own:nothing",
        "check: stock adds up",
        "check: orders end",
    ]
    kept = replace(valid_run(), invariants=(found,))
    assert RunResult.load(kept.save(tmp_path)).invariants == (found,)
