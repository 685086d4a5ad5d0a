"""A shard: records in, outputs and positions out; bad records and failing handlers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from holdfast import Context, State, Tombstone
from holdfast.engine.dead_letter import PREFIX
from holdfast.engine.unit import Unit
from holdfast.errors import (
    CorruptStore,
    DecodeError,
    EmptyRecord,
    HandlerError,
    InvalidEvent,
    NewerVersion,
    NotJson,
    StateError,
    StoreError,
    UndeclaredOutput,
    UnexpectedTombstone,
    UnknownType,
)
from holdfast.record import Output, Position, TopicPartition
from holdfast.testing import MemoryMessage, MemoryStore
from holdfast.topology.model import CAUSE_BYTES
from tests.unit.engine.kit import IN, LETTERS, OUT, Added, Bench, Sum, Taken, Totalled, added, make_plan


def count(event: Added, sums: State[Sum]) -> Totalled:
    """The plain handler: a running total."""
    total = (sums.get() or Sum()).total + event.n
    sums.set(Sum(total=total))
    return Totalled(key=event.key, total=total)


def fail_at_3(event: Added, sums: State[Sum]) -> Totalled:
    """The same, but 3 makes it raise after it changed state."""
    output = count(event, sums)
    if event.n == 3:
        raise ValueError("three")
    return output


def headers_of(output: Output) -> dict[str, Any]:
    """Headers by name."""
    return dict(output.headers)


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


def test_only_inputs_that_moved_are_committed() -> None:
    """Two inputs, records in one of them."""
    bench = Bench(make_plan(accept_both, reads={IN: [Added], "takes": [Taken]}, tables={}))
    bench.handle(added(0))
    assert bench.task.seal().positions == {TopicPartition(IN, 3): 1}


def accept_both(event: Added | Taken) -> None:
    """Accepts both inputs."""


def test_a_sealed_unit_is_committed_while_the_next_one_fills() -> None:
    """Committed positions follow the sealed part, not the open one; a reset goes back to them."""
    bench = Bench(make_plan(count))
    bench.handle(added(0))
    sealed = bench.task.seal()
    bench.handle(added(1), added(2))
    bench.store.apply(sealed.changes, {})
    bench.task.committed()
    assert bench.task.committed_positions == {IN: 1}
    assert bench.task.positions == {IN: 3}
    bench.task.reset()
    assert bench.task.positions == {IN: 1}
    assert not bench.task.moved
    bench.handle(added(1))
    bench.commit()
    assert bench.state() == Sum(total=2)


def test_positions_advance_over_control_records() -> None:
    """An end after the last record counts, one before it does not."""
    bench = Bench(make_plan(count))
    bench.handle(added(4))
    bench.task.advance(IN, 3)
    assert bench.task.positions == {IN: 5}
    bench.task.advance(IN, 6)
    assert bench.task.seal().positions == {TopicPartition(IN, 3): 6}


def test_touch_commits_positions_again() -> None:
    """Also those that never moved."""
    bench = Bench(make_plan(count))
    assert not bench.task.moved
    bench.task.touch()
    assert bench.task.moved
    assert bench.task.seal().positions == {TopicPartition(IN, 3): 0}


def test_positions_that_are_to_be_committed_again_are_so_after_an_abort() -> None:
    """An input in which nothing comes would have no position else, and its next owner would choose one."""
    bench = Bench(make_plan(count))
    bench.task.touch()
    bench.task.seal()
    bench.task.reset()
    assert set(bench.task.seal().positions.values()) == {0}
    bench.task.committed()
    bench.task.reset()
    assert not bench.task.moved


def test_a_failing_handler_stops_the_shard_at_its_record() -> None:
    """What was before is kept, the failing record left no trace, nothing after it is handled."""
    bench = Bench(make_plan(fail_at_3))
    bench.handle(added(0, n=1), added(1, n=3), added(2, n=5))
    failure = bench.task.failure
    assert failure is not None
    assert failure.position == Position(IN, 3, 1)
    assert isinstance(failure.cause, ValueError)
    bench.handle(added(2, n=5))
    bench.task.advance(IN, 99)
    assert bench.task.positions == {IN: 1}
    assert len(bench.unit.outputs) == 1
    bench.commit()
    assert bench.state() == Sum(total=1)


def test_a_failing_handler_may_dead_letter_its_record() -> None:
    """The others are handled as if it had not been there."""
    bench = Bench(make_plan(fail_at_3, on_error="dead-letter"))
    bench.handle(added(0, n=1), added(1, n=3), added(2, n=5))
    assert bench.task.failure is None
    assert [o.topic for o in bench.unit.outputs] == [OUT, LETTERS, OUT]
    assert (bench.unit.records, bench.unit.dead_letters) == (3, 1)
    bench.commit()
    assert bench.state() == Sum(total=6)


def test_a_dead_letter_is_told_with_its_place_and_cause(caplog: pytest.LogCaptureFixture) -> None:
    """One line each: what was set aside, where to, and the line of the handler that raised."""
    bench = Bench(make_plan(fail_at_3, on_error="dead-letter"))
    bench.handle(added(0, n=1), added(1, n=3), added(2, value=b"{"))
    raised, undecodable = caplog.messages
    assert raised.startswith(
        f"processor 'counter' sets {IN}[3]@1 aside in topic {LETTERS}: ValueError: three"
    )
    assert f"({__file__}:" in raised
    assert undecodable.startswith(f"processor 'counter' sets {IN}[3]@2 aside in topic {LETTERS}: ")


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"value": b"{no json"}, NotJson),
        ({"value": b"\xff\xfe"}, NotJson),
        ({"value": b""}, EmptyRecord),
        ({"value": b'{"key": "k"}'}, InvalidEvent),
        ({"headers": [("ce_type", b"Other.v1")]}, UnknownType),
        ({"headers": [("ce_type", b"Added.v2")]}, NewerVersion),
        ({"headers": [("ce_type", b"\xff.v1")]}, UnknownType),
        ({"value": None}, UnexpectedTombstone),
    ],
)
def test_a_record_that_cannot_be_decoded_is_dead_lettered(
    changes: dict[str, Any], cause: type[DecodeError]
) -> None:
    """Raw bytes are kept; cause and origin are in the headers that Kafka Streams uses (KIP-1034)."""
    bench = Bench(make_plan(count))
    bad = added(1, **changes)
    bench.handle(added(0), bad, added(2))
    assert bench.task.failure is None
    letter = bench.unit.outputs[1]
    assert (letter.topic, letter.key, letter.value, letter.timestamp) == (LETTERS, b"k", bad.value(), 1001)
    headers = headers_of(letter)
    assert headers[PREFIX + "exception"] == f"holdfast.errors.{cause.__name__}".encode()
    assert headers[PREFIX + "message"]
    assert cause.__name__.encode() in headers[PREFIX + "stacktrace"]
    assert headers[PREFIX + "topic"] == IN.encode()
    assert (headers[PREFIX + "partition"], headers[PREFIX + "offset"]) == (b"3", b"1")
    assert headers["holdfast.processor"] == b"counter"
    assert headers["ce_type"] == dict(bad.headers() or [])["ce_type"]
    bench.commit()
    assert bench.state() == Sum(total=2)


def test_a_record_that_cannot_be_decoded_may_stop_the_shard() -> None:
    """At its position, with the classified cause."""
    bench = Bench(make_plan(count, on_bad_record="stop", on_error="dead-letter"))
    bench.handle(added(0), added(1, value=b"{"), added(2))
    assert bench.task.failure is not None
    assert bench.task.failure.position.offset == 1
    assert isinstance(bench.task.failure.cause, NotJson)


class Strict(BaseModel):
    """Something a handler validates by itself."""

    n: int


def validate_badly(event: Added) -> None:
    """Raises the same class of error that a bad record gives."""
    Strict.model_validate({"n": "x"})


def test_a_validation_error_of_the_handler_is_not_a_bad_record() -> None:
    """`on_error` judges it, not `on_bad_record`."""
    bench = Bench(make_plan(validate_badly, tables={}, on_error="stop", on_bad_record="dead-letter"))
    bench.handle(added(0))
    assert bench.task.failure is not None


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


def test_the_size_of_a_state_value_is_limited_with_its_key() -> None:
    """The changelog would refuse it; the message says table, key, size and records."""

    def handle(event: Added, texts: State[str]) -> None:
        texts.set("x" * event.n)

    bench = Bench(make_plan(handle, tables={"texts": str}, max_bytes=1_000))
    bench.handle(added(0), added(1, "k" * 600, 600))
    with pytest.raises(
        StateError,
        match=r"table 'texts' of 'counter', shard 3: key b'k.*' and its value have 1,202 bytes, above the "
        r"changelog's limit of 1,000; .*; set by a record with this key, of adds\[3\] from offset 0 to 1",
    ):
        bench.task.seal()


def test_a_value_that_cannot_be_sealed_is_looked_for_in_every_input_that_was_read() -> None:
    """An input of which nothing was handled in the unit is not named, nor what is in flight."""

    def handle(event: Added | Taken, texts: State[str]) -> None:
        texts.set("x" * event.n)

    reads = {IN: [Added], "takes": [Taken], "third": [Added]}
    bench = Bench(make_plan(handle, reads=reads, tables={"texts": str}, max_bytes=100))
    bench.handle(added(0), added(1))
    bench.task.seal()
    taken = [("ce_type", b"Taken.v2")]
    bench.handle(added(2))
    bench.handle(added(7, n=200, headers=taken), topic="takes")
    with pytest.raises(
        StateError, match=r"of adds\[3\] from offset 2 to 2 or of takes\[3\] from offset 0 to 7$"
    ):
        bench.task.seal()


class BrokenStore(MemoryStore):
    """A store whose files cannot be read."""

    def __init__(self, error: StoreError) -> None:
        super().__init__()
        self._error = error

    def get(self, table: str, key: bytes) -> bytes | None:  # noqa: ARG002
        """Fail as the local store does."""
        raise self._error


@pytest.mark.parametrize(
    "error", [CorruptStore("block checksum mismatch"), StoreError("too many open files")]
)
@pytest.mark.parametrize("policy", ["stop", "dead-letter"])
def test_a_store_that_cannot_be_read_is_not_the_records_fault(policy: Any, error: StoreError) -> None:
    """It is raised, to be opened again: the record is neither skipped nor the shard stopped at it."""
    bench = Bench(make_plan(count, on_error=policy), BrokenStore(error))
    with pytest.raises(type(error)):
        bench.handle(added(0))
    assert bench.task.failure is None
    assert bench.unit.outputs == []
    assert bench.task.positions == {IN: 0}


def test_a_stored_value_of_another_shape_stops_the_shard_whatever_the_policy() -> None:
    """A wrong model makes every record fail; dead-lettering them would empty the topic."""
    store = MemoryStore()
    store.apply({"sums": [(b"k", b'{"total":"many"}')]}, {})
    bench = Bench(make_plan(count, on_error="dead-letter"), store)
    bench.handle(added(0))
    assert bench.task.failure is not None
    assert "a stored value is no Sum" in str(bench.task.failure.cause)


def test_a_cause_that_is_not_text_can_still_be_dead_lettered(caplog: pytest.LogCaptureFixture) -> None:
    """Lone surrogates cannot be encoded; an error whose own text fails has at least a class."""

    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def handle(event: Added) -> None:
        raise ValueError("bad \udc80 text") if event.n == 1 else Silent

    bench = Bench(make_plan(handle, tables={}, on_error="dead-letter"))
    bench.handle(added(0, n=1), added(1, n=2))
    first, second = (headers_of(letter) for letter in bench.unit.outputs)
    assert first[PREFIX + "message"] == b"bad \\udc80 text"
    assert "bad \\udc80 text" in caplog.text
    assert caplog.text.encode()
    assert b"Silent" in second[PREFIX + "exception"]


def test_a_dead_letter_has_room_for_its_cause() -> None:
    """However long an error's text is, the headers fit beside the largest record."""

    def handle(event: Added) -> None:
        raise ValueError("\u20ac" * 500_000)

    bench = Bench(make_plan(handle, tables={}, on_error="dead-letter"))
    bench.handle(added(0))
    size = sum(len(name) + len(value or b"") for name, value in bench.unit.outputs[0].headers)
    assert size < CAUSE_BYTES


def test_a_shard_that_is_told_twice_to_go_on_keeps_its_committed_place() -> None:
    """Resets without anything open change nothing."""
    bench = Bench(make_plan(count))
    bench.handle(added(0))
    bench.commit()
    bench.task.reset()
    bench.task.reset()
    assert bench.task.positions == {IN: 1}
    assert bench.state() == Sum(total=1)


def test_messages_need_no_headers() -> None:
    """A topic of one event takes plain JSON from any producer."""
    bench = Bench(make_plan(count))
    bench.handle(MemoryMessage(IN, 3, 0, key=b"k", value=b'{"key":"k","n":5}'))
    assert len(bench.unit.outputs) == 1


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


class BrokenOnce(MemoryStore):
    """A store that cannot be read, the first time."""

    def __init__(self, error: StateError) -> None:
        super().__init__()
        self.error: StateError | None = error

    def get(self, table: str, key: bytes) -> bytes | None:
        """Fail, or read."""
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return super().get(table, key)


@pytest.mark.parametrize("later", [None, 7], ids=["alone", "before a record that stops the shard"])
@pytest.mark.parametrize("error", [CorruptStore("damaged"), StateError("a stored value is no Sum")])
def test_an_error_of_the_state_that_a_handler_swallows_is_not_forgotten(
    error: StateError, later: int | None
) -> None:
    """A broad `except` would turn one damaged block into committed wrong results."""

    def handle(event: Added, sums: State[Sum]) -> Totalled:
        if event.n == later:
            raise ValueError("stop here")
        try:
            total = (sums.get() or Sum()).total
        except Exception:  # noqa: BLE001 - that is the point
            total = -1
        return Totalled(key=event.key, total=total)

    bench = Bench(make_plan(handle), BrokenOnce(error))
    with pytest.raises(StoreError, match=str(error)):
        bench.handle(added(0, "a"), added(1, "b", n=7), added(2, "c"))
    assert bench.task.failure is None
    bench.task.reset()
    bench.unit = Unit()
    bench.handle(added(0, "a"))
    assert [output.value for output in bench.unit.outputs] == [b'{"key":"a","total":0,"text":""}']
