"""From writes to few statements: merged where that means the same, and in order where it does not."""

from __future__ import annotations

import re
from typing import Any

import pytest

from holdfast.errors import SinkRefused
from holdfast.sinks.postgres.plan import plan
from holdfast.sinks.postgres.writes import Delete, Execute, Insert, PostgresWrite, Upsert


def told(*writes: PostgresWrite) -> list[str]:
    """Each statement in short, with what it is given."""
    found = []
    for step in plan(writes, lambda _: ("id",)):
        text = (
            step.statement if isinstance(step.statement, bytes) else step.statement.as_string(None).encode()
        )
        verb, table = re.match(rb'(\w+)(?: INTO| FROM)? "?(\w+)', text).groups()  # type: ignore[union-attr]
        found.append(f"{verb.decode()} {table.decode()} {step.parameters[0] if step.parameters else ''}")
    return found


def row(table: str, number: int, **more: Any) -> Upsert:
    return Upsert(table, {"id": number, **more})


def test_rows_of_one_table_travel_together() -> None:
    """Whatever stands between them, as long as nothing is deleted."""
    assert told(row("a", 1), row("b", 1), row("a", 2)) == [
        'INSERT a [{"id":1},{"id":2}]',
        'INSERT b [{"id":1}]',
    ]


def test_the_last_state_of_a_key_counts() -> None:
    """With the columns that only an earlier write gave."""
    assert told(row("a", 1, x=1, y=1), row("a", 1, x=2)) == ['INSERT a [{"id":1,"x":2,"y":1}]']


def test_a_deletion_keeps_its_place_between_tables() -> None:
    """It may cascade, or wait for another: each way."""
    assert told(row("a", 2), row("b", 1), Delete("a", {"id": 1}), row("b", 2)) == [
        'INSERT a [{"id":2}]',
        'INSERT b [{"id":1}]',
        'DELETE a [{"id":1}]',
        'INSERT b [{"id":2}]',
    ]


def test_a_row_that_is_written_and_deleted_is_only_deleted() -> None:
    """And written only with what came after, if something did."""
    assert told(row("a", 1, x=1), Delete("a", {"id": 1})) == ['DELETE a [{"id":1}]']
    assert told(row("a", 1, x=1), Delete("a", {"id": 1}), row("a", 1, y=1)) == [
        'DELETE a [{"id":1}]',
        'INSERT a [{"id":1,"y":1}]',
    ]


def test_a_deletion_of_another_spelling_comes_after() -> None:
    """1 and "1" may be the same row, which only the database knows."""
    assert told(row("a", 1), Delete("a", {"id": "1"})) == ['INSERT a [{"id":1}]', 'DELETE a [{"id":"1"}]']


def test_a_deletion_comes_after_all_spellings_of_its_row() -> None:
    """Without regard to case Bob is the row of bob, and the deletion takes it."""
    bob, small = Upsert("a", {"id": "Bob"}), Upsert("a", {"id": "bob"})
    assert told(bob, small, Delete("a", {"id": "bob"})) == [
        'INSERT a [{"id":"Bob"},{"id":"bob"}]',
        'DELETE a [{"id":"bob"}]',
    ]


def test_many_deletions_travel_together() -> None:
    """Whatever was written before them: only the first has to come after that."""
    writes = [row("a", n) for n in range(3)] + [Delete("a", {"id": n}) for n in range(3)]
    assert told(*writes) == [
        'INSERT a [{"id":0},{"id":1},{"id":2}]',
        'DELETE a [{"id":0},{"id":1},{"id":2}]',
    ]


def test_keys_are_told_apart_as_they_are_written() -> None:
    """Python takes 1 and True for the same."""
    assert told(Upsert("a", {"id": 1}), Upsert("a", {"id": True})) == ['INSERT a [{"id":1},{"id":true}]']


def test_inserts_keep_their_order_whatever_columns_they_give() -> None:
    """Numbers that the database gives follow it."""
    rows = [{"n": 1}, {"n": 2, "x": 1}, {"n": 3}]
    assert told(*(Insert("a", each) for each in rows)) == [
        'INSERT a [{"n":1}]',
        'INSERT a [{"n":2,"x":1}]',
        'INSERT a [{"n":3}]',
    ]


def test_a_statement_runs_after_all_that_came_before() -> None:
    """And before all that comes after."""
    assert told(row("a", 1), Execute("VACUUM a"), row("a", 1)) == [
        'INSERT a [{"id":1}]',
        "VACUUM a ",
        'INSERT a [{"id":1}]',
    ]


@pytest.mark.parametrize("write", [Insert("a", {}), Delete("a", {}), Upsert("a", {"x": 1})])
def test_a_write_without_its_key_or_columns_is_refused(write: PostgresWrite) -> None:
    """It would be no statement."""
    with pytest.raises(SinkRefused, match="'a'"):
        told(write)


def test_a_statement_has_the_name_of_its_writes() -> None:
    """An error says it; of an `Execute`, how it begins."""
    long = "UPDATE a\n  SET x = 1\n  WHERE " + "y = 2 AND " * 10 + "z"
    steps = plan(
        [
            row("a", 1),
            Insert("log", {"id": 1}),
            Delete("b", {"id": 1, "n": 2}),
            Execute("SELECT 1"),
            Execute(long),
        ],
        lambda _: ("id",),
    )
    assert [step.name for step in steps] == [
        'Upsert into "a" with key (id)',
        'Insert into "log"',
        'Delete from "b" with key (id, n)',
        'Execute "SELECT 1"',
        'Execute "UPDATE a SET x = 1 WHERE y = 2 AND y = 2 AND y = 2 AND y ..."',
    ]
