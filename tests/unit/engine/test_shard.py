"""A shard: records in, outputs and positions out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from holdfast import Context, State, Tombstone
from holdfast.engine.dead_letter import PREFIX
from holdfast.errors import (
    HandlerError,
    UndeclaredOutput,
)
from holdfast.record import Position, TopicPartition
from holdfast.testing import MemoryMessage
from tests.unit.engine.kit import (
    IN,
    OUT,
    Added,
    Bench,
    Sum,
    Taken,
    Totalled,
    added,
    count,
    headers_of,
    make_plan,
)


def test_records_give_outputs_state_and_positions() -> None:
    """The position is the offset after the last record, gaps included."""
    bench = Bench(make_plan(count))
    bench.handle(added(0, n=1), added(1, n=2), added(7, n=4))
    assert [(o.topic, o.timestamp) for o in bench.unit.outputs] == [(OUT, 1000), (OUT, 1001), (OUT, 1007)]
    assert bench.task.positions == {IN: 8}
    assert bench.task.committed_positions == {IN: 0}
    sealed = bench.task.seal()
    assert sealed.positions == {TopicPartition(IN, 3): 8}
    assert sealed.changes == {"sums": [(b"k", b'{"total":7}')]}


def test_a_tombstone_reaches_a_handler_that_accepts_it() -> None:
    """With the event class and the raw key."""
    seen: list[Any] = []

    def handle(event: Added | Tombstone, sums: State[Sum]) -> None:
        seen.append(event)
        if isinstance(event, Tombstone):
            sums.delete()
        else:
            sums.set(Sum(total=event.n))

    bench = Bench(make_plan(handle))
    bench.handle(added(0), added(1, value=None))
    assert seen[1] == Tombstone(Added, b"k")
    assert bench.task.seal().changes == {"sums": [(b"k", None)]}


def test_a_topic_of_several_events_is_decoded_by_type() -> None:
    """Each record by its own class."""
    seen: list[Any] = []

    def handle(event: Added | Taken) -> None:
        seen.append(event)

    bench = Bench(make_plan(handle, reads={IN: [Added, Taken]}, tables={}))
    bench.handle(added(0), added(1, headers=[("ce_type", b"Taken.v2")]), added(2, headers=None))
    assert seen == [Added(key="k", n=1), Taken(key="k", n=1)]
    assert headers_of(bench.unit.outputs[0])[PREFIX + "exception"] == b"holdfast.errors.UnknownType"


def several(event: Added) -> Iterator[Totalled]:
    """A generator: as many outputs as `n` says."""
    for i in range(event.n):
        yield Totalled(key=event.key, total=i)


@pytest.mark.parametrize("handle", [several, None])
def test_a_handler_may_give_several_outputs(handle: Callable[..., Any] | None) -> None:
    """By yielding them or by returning them."""

    def listed(event: Added) -> list[Totalled]:
        return list(several(event))

    bench = Bench(make_plan(handle or listed, tables={}))
    bench.handle(added(0, n=2), added(1, n=0), added(2, n=3))
    assert len(bench.unit.outputs) == 5
    assert bench.unit.records == 3


def test_the_context_tells_the_record_behind_the_event() -> None:
    """Its place, time, key and headers."""
    seen: list[Any] = []

    def handle(event: Added, at: Context) -> None:
        seen.append((at.topic, at.partition, at.offset, at.position, at.key, at.timestamp, at.headers))

    Bench(make_plan(handle, tables={})).handle(added(5))
    assert seen == [(IN, 3, 5, Position(IN, 3, 5), b"k", 1005, (("ce_type", b"Added.v1"),))]


@pytest.mark.parametrize(
    ("result", "cause"),
    [(Taken(key="k", n=1), UndeclaredOutput), ("text", HandlerError), ([None], HandlerError)],
)
def test_a_wrong_output_is_the_handlers_error(result: Any, cause: type[Exception]) -> None:
    """State that was set before it does not exist."""

    def handle(event: Added, sums: State[Sum]) -> Any:
        sums.set(Sum(total=1))
        return result

    bench = Bench(make_plan(handle))
    bench.handle(added(0))
    assert bench.task.failure is not None
    assert isinstance(bench.task.failure.cause, cause)
    assert not bench.task.table("sums").overlay


def test_messages_need_no_headers() -> None:
    """A topic of one event takes plain JSON from any producer."""
    bench = Bench(make_plan(count))
    bench.handle(MemoryMessage(IN, 3, 0, key=b"k", value=b'{"key":"k","n":5}'))
    assert len(bench.unit.outputs) == 1
