"""The hot loop: whatever ends a handler is its record's failure, and leaves no trace."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import pytest

from holdfast import Context, State
from holdfast.errors import HandlerError
from holdfast.record import Position
from tests.unit.engine.kit import IN, LETTERS, Added, Bench, Sum, Totalled, added, make_plan


@pytest.mark.parametrize("state_and_context", [False, True])
def test_a_handler_that_exits_stops_the_shard_not_the_process(state_and_context: bool) -> None:
    """`sys.exit` in a handler would else end the worker with code 0, as if somebody had asked it to."""

    def leave(event: Added, sums: State[Sum]) -> None:
        if event.n == 3:
            sys.exit(0)

    def leave_at(event: Added, sums: State[Sum], at: Context) -> None:
        leave(event, sums)

    bench = Bench(make_plan(leave_at if state_and_context else leave))
    bench.handle(added(0, n=1), added(1, n=3), added(2, n=1))
    failure = bench.task.failure
    assert failure is not None
    assert (failure.position, bench.task.positions) == (Position(IN, 3, 1), {IN: 1})
    assert isinstance(failure.cause, HandlerError)
    assert "sys.exit(0)" in str(failure.cause)


@pytest.mark.parametrize("kind", [asyncio.CancelledError, GeneratorExit, StopIteration])
def test_whatever_a_handler_raises_is_the_records_failure(kind: type[BaseException]) -> None:
    """Not all of it is an `Exception`; once it ended the worker, again and again, and named no record."""

    def handle(event: Added, sums: State[Sum]) -> None:
        sums.set(Sum(total=event.n))
        if event.n == 3:
            raise kind("given up")

    bench = Bench(make_plan(handle, writes={}, on_error="dead-letter"))
    bench.handle(added(0, n=1), added(1, n=3), added(2, "other", n=5))
    assert (bench.unit.records, bench.unit.dead_letters) == (3, 1)
    headers = dict(bench.unit.outputs[0].headers)
    assert any(kind.__name__.encode() in value for value in headers.values())
    bench.commit()
    assert bench.state() == Sum(total=1)


def test_a_users_interrupt_ends_the_loop() -> None:
    """In a unit test, Ctrl-C is no failure of a record."""

    def handle(event: Added, sums: State[Sum]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Bench(make_plan(handle, writes={}, on_error="dead-letter")).handle(added(0))


def test_two_changes_of_one_record_take_effect_together_or_not_at_all() -> None:
    """A handler that sets one table and raises before the second leaves neither."""

    def handle(event: Added, sums: State[Sum], counts: State[int]) -> None:
        sums.set(Sum(total=event.n))
        if event.n < 0:
            raise ValueError("negative")
        counts.set(1)

    bench = Bench(make_plan(handle, tables={"sums": Sum, "counts": int}, on_error="dead-letter"))
    bench.handle(added(0, "a", -1), added(1, "b", 2))
    bench.commit()
    assert (bench.state(b"a"), bench.state(b"a", "counts")) == (None, None)
    assert (bench.state(b"b"), bench.state(b"b", "counts")) == (Sum(total=2), 1)


def test_a_generator_that_raises_late_leaves_no_trace() -> None:
    """Neither the outputs yielded before nor the state set before."""

    def handle(event: Added, sums: State[Sum]) -> Iterator[Totalled]:
        sums.set(Sum(total=event.n))
        yield Totalled(key=event.key, total=event.n)
        raise ValueError("late")

    bench = Bench(make_plan(handle, on_error="dead-letter"))
    bench.handle(added(0))
    assert [output.topic for output in bench.unit.outputs] == [LETTERS]
    bench.commit()
    assert bench.state() is None


def test_a_change_that_failed_is_not_seen_by_the_next_record() -> None:
    """The handle is bound anew for each record."""
    seen: list[Sum | None] = []

    def handle(event: Added, sums: State[Sum]) -> None:
        seen.append(sums.get())
        sums.set(Sum(total=event.n))
        if event.n == 2:
            raise ValueError

    bench = Bench(make_plan(handle, on_error="dead-letter"))
    bench.handle(added(0, n=1), added(1, n=2), added(2, n=3))
    assert seen == [None, Sum(total=1), Sum(total=1)]
