"""The fold validator, the gate of finished transactions, the bank and invariants."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.chaos.checker import Validity, invariants
from holdfast.chaos.checker.bank import check_bank
from holdfast.chaos.checker.finished import PartitionEnd, check_finished
from holdfast.chaos.checker.fold import Fold, Input, Output, check_fold, check_fold_of
from holdfast.chaos.checker.invariants import (
    Evaluated,
    PythonInvariant,
    SqlInvariant,
    check_invariants,
    sql_problem,
)
from holdfast.chaos.history import History, Recorder, read, seal, send
from holdfast.chaos.history.model import fault
from holdfast.errors import HistoryError
from tests.support.stories import Story, sealed

SUMS = Fold({"count": 0, "sum": 0}, lambda state, n: {"count": state["count"] + 1, "sum": state["sum"] + n})


def processed(seed: int = 1, count: int = 60) -> tuple[list[Input], list[Output]]:
    """Inputs of five keys in two partitions of a topic, and what a correct processor makes of them."""
    source = random.Random(seed)
    inputs, outputs, states, offsets = [], [], {}, {0: 0, 1: 0}
    for _ in range(count):
        key = f"k{source.randrange(5)}"
        partition = source.randrange(2)
        offsets[partition] += source.randint(1, 2)
        one = Input("in", partition, offsets[partition], key, source.randint(1, 100))
        states[key] = SUMS.apply(states.get(key, SUMS.initial), one.value)
        inputs.append(one)
        outputs.append(Output(key, one.origin, states[key]))
    return inputs, outputs


def refolded(inputs: list[Input], order: list[int]) -> list[Output]:
    """The outputs of a processor that applies the inputs in some order."""
    states, out = {}, []
    for one in (inputs[index] for index in order):
        states[one.key] = SUMS.apply(states.get(one.key, SUMS.initial), one.value)
        out.append(Output(one.key, one.origin, states[one.key]))
    return out


def swapped(inputs: list[Input]) -> list[Output]:
    """Two inputs of a key and partition, applied the wrong way round."""
    order = list(range(len(inputs)))
    first = next(
        (a, b)
        for a in order
        for b in order[a + 1 :]
        if (inputs[a].key, inputs[a].partition) == (inputs[b].key, inputs[b].partition)
    )
    order[first[0]], order[first[1]] = order[first[1]], order[first[0]]
    return refolded(inputs, order)


DEFECTS: dict[str, Callable[[list[Input], list[Output]], list[Output]]] = {
    "fold-lost": lambda inputs, _: refolded(inputs, [n for n in range(len(inputs)) if n != 20]),
    "fold-twice": lambda inputs, _: refolded(inputs, [*range(21), 20, *range(21, len(inputs))]),
    "fold-order": lambda inputs, _: swapped(inputs),
    "fold-state": lambda _, outputs: [
        *outputs[:-1],
        replace(outputs[-1], state={**outputs[-1].state, "sum": 0}),
    ],
    "fold-stranger": lambda _, outputs: [*outputs, Output("k1", ("in", 0, 9999), outputs[-1].state)],
}


def test_a_correct_processor_passes_whatever_the_order_of_its_keys() -> None:
    inputs, outputs = processed()
    found = check_fold(reversed(inputs), sorted(outputs, key=lambda output: output.key or ""), SUMS)
    assert found.validity is Validity.VALID, str(found)
    assert found.metrics["fold"] == {"inputs": 60, "outputs": 60}


@pytest.mark.parametrize("rule", DEFECTS)
def test_a_defect_of_a_processor_is_caught_by_its_rule_alone(rule: str) -> None:
    inputs, outputs = processed()
    found = check_fold(inputs, DEFECTS[rule](inputs, outputs), SUMS)
    assert {each.rule: each.count for each in found.findings} == {rule: 1}, str(found)
    assert "in-" in found.findings[0].examples[0].text


def test_an_output_of_another_key_is_a_stranger_and_its_input_is_lost() -> None:
    inputs, outputs = processed()
    wrong = replace(outputs[0], key="k-other")
    found = check_fold(inputs, [wrong, *outputs[1:]], SUMS)
    assert found.found("fold-stranger") == 1
    assert found.found("fold-lost") == 1


def test_a_state_that_went_back_to_an_earlier_one_is_told_once() -> None:
    inputs, outputs = processed()
    last = max(index for index, output in enumerate(outputs) if output.key == "k1")
    stale = [*outputs]
    stale[last] = replace(stale[last], state=SUMS.apply(SUMS.initial, inputs[last].value))
    assert check_fold(inputs, stale, SUMS).found("fold-state") == 1


def test_the_same_is_found_in_a_sealed_history(tmp_path: Path) -> None:
    inputs, outputs = processed()
    outputs = DEFECTS["fold-twice"](inputs, outputs)
    with Recorder(tmp_path / "run") as recorder:
        for one in inputs:
            recorder.row(
                "inputs",
                topic=one.topic,
                partition=one.partition,
                offset=one.offset,
                key=one.key,
                value=one.value,
            )
        recorder.row("inputs", topic="in", partition=5, offset=0, key=None, value=4)
        recorder.row(
            "outputs", position=0, key=None, topic="in", partition=5, offset=0, state={"count": 1, "sum": 4}
        )
        for position, output in enumerate(outputs):
            topic, partition, offset = output.origin
            recorder.row(
                "outputs",
                position=position,
                key=output.key,
                topic=topic,
                partition=partition,
                offset=offset,
                state=output.state,
            )
    found = check_fold_of(seal(tmp_path / "run", tmp_path / "history"), SUMS)
    assert {each.rule: each.count for each in found.findings} == {"fold-twice": 1}, str(found)
    assert found.metrics["fold"] == {"inputs": 61, "outputs": 62}


def test_a_value_and_a_state_may_be_null(tmp_path: Path) -> None:
    """As those of a tombstone are."""
    with Recorder(tmp_path / "run") as recorder:
        for offset, value in enumerate((4, None)):
            recorder.row("inputs", topic="in", partition=0, offset=offset, key="k", value=value)
            recorder.row(
                "outputs", position=offset, key="k", topic="in", partition=0, offset=offset, state=value
            )
    last = Fold(None, lambda _, value: value)
    found = check_fold_of(seal(tmp_path / "run", tmp_path / "history"), last)
    assert (found.validity, found.metrics["fold"]) == (Validity.VALID, {"inputs": 2, "outputs": 2})


def test_a_fold_without_inputs_proves_nothing_and_fails() -> None:
    found = check_fold([], [], SUMS)
    assert found.validity is Validity.INVALID
    assert "the fold was not evaluated: there were no inputs" in str(found)


def test_a_fold_that_raises_is_told_with_the_input() -> None:
    inputs, outputs = processed()
    with pytest.raises(HistoryError, match=r"cannot be applied to .*in-"):
        check_fold(inputs, outputs, Fold(None, lambda state, n: state["sum"] + n))


def test_transactions_are_finished_if_readers_of_committed_records_reach_the_end() -> None:
    assert check_finished([PartitionEnd("out", 0, 10, 10)]).validity is Validity.VALID
    # The marker of its last transaction was written after the end had been asked for.
    assert check_finished([PartitionEnd("out", 0, 11, 10)]).validity is Validity.VALID
    found = check_finished([PartitionEnd("out", 0, 10, 10), PartitionEnd("out", 1, 7, 12)])
    assert found.found("unfinished-transactions") == 1
    assert "out-1: a read_committed reader stands at 7, and the end is 12" in str(found)
    assert check_finished([]).found("not-evaluated") == 1


def bank(folder: Path, postings: list[tuple[str, str, int, int]]) -> History:
    with Recorder(folder / "run") as recorder:
        for position, (account, transfer, amount, balance) in enumerate(postings):
            recorder.row(
                "postings",
                position=position,
                account=account,
                transfer=transfer,
                amount=amount,
                balance=balance,
            )
    return seal(folder / "run", folder / "history")


TRANSFERS = [("a", "t1", -30, 70), ("b", "t1", 30, 130), ("b", "t2", -130, 0), ("c", "t2", 130, 230)]


def test_a_bank_that_keeps_its_money_is_valid(tmp_path: Path) -> None:
    found = check_bank(bank(tmp_path, TRANSFERS), opening=100, minimum=0)
    assert found.validity is Validity.VALID, str(found)


@pytest.mark.parametrize(
    ("postings", "rule", "told"),
    [
        (TRANSFERS[:3], "bank-total", "transfer t2: its 1 postings (b -130) sum up to -130"),
        (
            [*TRANSFERS[:3], ("c", "t2", 130, 231)],
            "bank-balance",
            "100 +130 is 230, and the balance is told as 231",
        ),
        ([*TRANSFERS, ("c", "t2", 0, 230)], "bank-twice", "transfer t2 was posted 2 times to account c"),
        (
            [("a", "t1", -101, -1), ("b", "t1", 101, 201)],
            "bank-balance",
            "the balance is told as -1, below the least of 0",
        ),
        ([], "not-evaluated", "the bank was not evaluated: there were no postings"),
    ],
)
def test_a_bank_that_is_wrong_is_caught(
    postings: list[tuple[str, str, int, int]], rule: str, told: str, tmp_path: Path
) -> None:
    found = check_bank(bank(tmp_path, postings), opening=100, minimum=0)
    assert {each.rule: each.count for each in found.findings} == {rule: 1}, str(found)
    assert told in str(found)


NO_NEGATIVE = SqlInvariant("no negative values", "SELECT log, value FROM steps WHERE value < 0", over="steps")


def test_an_invariant_holds_if_its_query_gives_no_rows(tmp_path: Path) -> None:
    good = sealed(Story().ok("w", "send", send("x", 1, offset=0)).operations, tmp_path)
    bad = sealed(Story().ok("w", "send", send("x", -1, offset=0)).operations, tmp_path)
    assert check_invariants(good, [NO_NEGATIVE]).validity is Validity.VALID
    found = check_invariants(bad, [NO_NEGATIVE])
    assert found.found("invariant") == 1
    assert "no negative values: log x, value -1" in str(found)


def test_an_invariant_that_looked_at_nothing_fails_and_says_so(tmp_path: Path) -> None:
    history = sealed(Story().ok("w", "send", send("x", 1, offset=0)).operations, tmp_path)
    asked = [
        SqlInvariant(
            "reads", "SELECT * FROM steps WHERE false", over="SELECT * FROM steps WHERE kind = 'read'"
        ),
        PythonInvariant("idle", lambda _: Evaluated(0)),
    ]
    found = check_invariants(history, asked)
    assert found.validity is Validity.INVALID
    assert found.found("not-evaluated") == 2
    assert "the invariant 'reads' was not evaluated: there were no rows to look at" in str(found)


def test_a_function_may_be_an_invariant(tmp_path: Path) -> None:
    history = sealed(Story().ok("r", "poll", read("x", 1, offset=0)).operations, tmp_path)

    def few(database) -> Evaluated:
        rows = database.rows("SELECT value FROM steps")
        return Evaluated(len(rows), [f"value {value}" for (value,) in rows if value > 0])

    assert "few: value 1" in str(check_invariants(history, [PythonInvariant("few", few)]))


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0"


def test_a_query_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    """A run that had come to its end would never tell what it found."""
    history = sealed(Story().ok("w", "send", send("x", 1, offset=0)).operations, tmp_path)
    asked = [SqlInvariant("endless", ENDLESS, over="steps")]
    with pytest.raises(HistoryError, match=r"^the invariant 'endless' was given up after 0\.5 s$"):
        check_invariants(history, asked, limit_s=0.5)


def test_a_query_that_does_not_end_on_an_empty_history_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invariants, "_TRY_S", 0.5)
    told = sql_problem(SqlInvariant("endless", ENDLESS, over="steps"))
    assert told == "on an empty history it was given up after 0.5 s"


@pytest.mark.parametrize(
    "over", ["SELECT * FROM steps -- all", "SELECT * FROM steps;", "-- all\nFROM steps\n"]
)
def test_what_is_looked_at_may_be_written_as_any_query(over: str) -> None:
    assert sql_problem(SqlInvariant("any", "FROM steps WHERE value < 0", over)) == ""


def test_a_query_looks_at_every_table_that_it_names(tmp_path: Path) -> None:
    """One of them without rows is enough for a query that would never find anything."""
    history = sealed(Story().ok("w", "send", send("x", 1, offset=0)).operations, tmp_path)
    joined = "SELECT * FROM steps s JOIN Faults f ON s.value < 0"
    named = "WITH postings AS (SELECT * FROM steps) SELECT * FROM postings WHERE value < 0"
    found = check_invariants(history, [SqlInvariant("joined", joined), SqlInvariant("named", named)])
    assert found.metrics["looked_at"] == {"joined": {"steps": 1, "faults": 0}, "named": {"steps": 1}}
    [finding] = found.findings
    assert (finding.rule, finding.validity) == ("not-evaluated", Validity.INVALID)
    assert "the invariant 'joined' was not evaluated: there were no faults to look at" in str(finding)


def test_faults_that_happened_are_rows_to_look_at(tmp_path: Path) -> None:
    history = sealed([], tmp_path, [fault("broker.kill", "broker-1", 1, 2, "{}")])
    found = check_invariants(history, [SqlInvariant("own", "SELECT * FROM faults WHERE ended IS NULL")])
    assert (found.validity, found.metrics["looked_at"]) == (Validity.VALID, {"own": {"faults": 1}})


def test_a_query_that_names_no_table_was_not_evaluated(tmp_path: Path) -> None:
    history = sealed(Story().ok("w", "send", send("x", 1, offset=0)).operations, tmp_path)
    found = check_invariants(history, [SqlInvariant("one", "SELECT 1 WHERE false")])
    assert "the invariant 'one' was not evaluated: it names no table" in str(found)


@pytest.mark.parametrize(
    ("wrong", "over", "told"),
    [
        ("SELECT * FROM postings WHERE balance < 0", None, ""),
        ("SELECT * FROM faults WHERE evidence->>'$.begin' = 'x'", "FROM faults", ""),
        ("SELECT 1 WHERE false", "steps", ""),
        ("SELECT * FORM steps", None, "Parser Error: syntax error at or near"),
        ("SELECT valu FROM steps", None, 'Referenced column "valu" not found'),
        ("SELECT * FROM steps; SELECT 1", None, "one query is expected, and it is 2 statements"),
        ("SELECT * FROM step", None, 'Table with name step does not exist! Did you mean "steps"?'),
        ("SELECT * FROM steps", "stepz", "Table with name stepz does not exist"),
        ("SELECT offset FROM outputs", None, 'the column "offset" has to stand in double quotes'),
        ("FROM inputs JOIN outputs USING (topic, offset)", None, 'the column "offset" has to stand in doub'),
        ('SELECT "offset" FROM outputs', None, ""),
        ("SELECT *\nFROM steps\nWHERE valu < 0", None, "(line 3 of the query)"),
        ("SELECT *\nFORM steps", "steps", "(line 2 of the query)"),
        ("SELECT 1", "SELECT *\nFROM stepz", "(line 2 of the query)"),
        ("SELECT 1 WHERE false", None, "it looks at nothing: it names no table of the history (operations, "),
    ],
)
def test_a_query_is_tried_before_there_is_a_history(wrong: str, over: str | None, told: str) -> None:
    found = sql_problem(SqlInvariant("own", wrong, over))
    assert (told in found) if told else found == ""
    assert "\n" not in found


def test_a_function_that_returns_something_else_is_told(tmp_path: Path) -> None:
    history = sealed(Story().ok("r", "poll", read("x", 1, offset=0)).operations, tmp_path)
    with pytest.raises(HistoryError, match=r"'own' has to return an `Evaluated` .*, and returned list"):
        check_invariants(history, [PythonInvariant("own", lambda _: [])])  # type: ignore[arg-type, return-value]


def test_a_query_that_cannot_be_run_is_told_with_the_invariants_name(tmp_path: Path) -> None:
    history = sealed(Story().ok("r", "poll", read("x", 1, offset=0)).operations, tmp_path)
    with pytest.raises(HistoryError, match="the invariant 'typo' cannot be evaluated"):
        check_invariants(history, [SqlInvariant("typo", "SELECT nothing FROM steps", over="steps")])
