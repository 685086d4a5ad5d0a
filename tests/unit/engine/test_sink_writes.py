"""What a handler returns for a sink."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from holdfast.engine.sink_writes import SinkWrites
from holdfast.record import Position
from tests.unit.engine.kit import IN, LETTERS, Added, Bench, added, make_plan


@dataclass(frozen=True)
class Row:
    """What the sink of these tests takes."""

    n: int


def sink_plan(handler: Any, **options: Any) -> Any:
    """A plan of a processor with a sink."""
    sink = SinkWrites("counter", "history", (Row,))
    return make_plan(handler, writes={}, tables={}, sink=sink, **options)


def test_each_result_is_kept_with_its_record() -> None:
    """One, several, or none; in order."""

    def handle(event: Added) -> Row | list[Row] | None:
        return [None, Row(event.n), [Row(event.n), Row(-event.n)]][event.n]  # type: ignore[return-value]

    bench = Bench(sink_plan(handle))
    bench.handle(added(0, n=0), added(1, n=1), added(2, n=2))
    assert [(write.position, write.value) for write in bench.unit.writes] == [
        (Position(IN, 3, 1), Row(1)),
        (Position(IN, 3, 2), Row(2)),
        (Position(IN, 3, 2), Row(-2)),
    ]
    assert bench.unit.outputs == []


@pytest.mark.parametrize("result", ["text", {"n": 1}, 7, [Row(1), 7], object()])
def test_what_the_sink_does_not_take_is_an_error_of_the_handler(result: Any) -> None:
    """Nothing of that record is written; the text says what the sink takes."""

    def handle(event: Added) -> Any:
        return result if event.n == 7 else Row(event.n)

    bench = Bench(sink_plan(handle, on_error="dead-letter"))
    bench.handle(added(0, n=1), added(1, n=7), added(2, n=2))
    assert [write.value for write in bench.unit.writes] == [Row(1), Row(2)]
    (letter,) = bench.unit.outputs
    assert letter.topic == LETTERS
    assert (
        b"which sink 'history' does not take; it takes Row"
        in dict(letter.headers)["__streams.errors.message"]
    )


def test_of_a_generator_that_fails_nothing_is_written() -> None:
    """A record is atomic."""

    def handle(event: Added) -> Iterator[Row]:
        yield Row(event.n)
        raise ValueError

    bench = Bench(sink_plan(handle, on_error="dead-letter"))
    bench.handle(added(0))
    assert bench.unit.writes == []
    assert len(bench.unit.outputs) == 1


def test_a_sealed_part_names_its_owner_and_its_last_commit() -> None:
    """A sink tells records that it has by these."""
    bench = Bench(sink_plan(_row))
    bench.handle(added(0), added(1))
    part = bench.task.seal()
    place = (IN, 3)
    assert dict(part.begins) == {place: 0}
    assert dict(part.positions) == {place: 2}
    bench.task.committed()
    bench.handle(added(2))
    assert dict(bench.task.seal().begins) == {place: 2}


def _row(event: Added) -> Row:
    return Row(event.n)
