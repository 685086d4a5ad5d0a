"""What becomes of a record that failed, by policy; bad records and failing handlers are told apart."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from holdfast.engine.dead_letter import PREFIX
from holdfast.engine.retries import RetryPolicy
from holdfast.errors import (
    DecodeError,
    EmptyRecord,
    InvalidEvent,
    NewerVersion,
    NotJson,
    SinkRefused,
    StoppedBySink,
    UnexpectedTombstone,
    UnknownType,
)
from holdfast.record import Position
from holdfast.resilience import Backoff
from holdfast.testing import MemoryStore
from holdfast.topology.model import CAUSE_BYTES
from tests.unit.engine.kit import (
    IN,
    LETTERS,
    OUT,
    Added,
    Bench,
    Sum,
    added,
    count,
    fail_at_3,
    headers_of,
    make_plan,
)


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
    assert f"({fail_at_3.__code__.co_filename}:" in raised
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


@pytest.mark.parametrize("policy", ["dead-letter", "drop", "retry"])
def test_a_record_at_which_the_sink_stops_the_shard_is_not_judged_by_another_policy(policy: Any) -> None:
    """`on_refused` said so, and `on_error` is about the handler; nor would another attempt help."""
    retry = RetryPolicy(None, Backoff(base_s=0.01), None, lambda: 0.0)
    bench = Bench(make_plan(count, on_error=policy, retry=retry))
    bench.handle(added(0), added(1), added(2))
    bench.task.failed(Position(IN, 3, 1), StoppedBySink(SinkRefused("too long")))
    bench.task.reset()
    bench.handle(added(0), added(1), added(2))
    assert bench.task.failure is not None
    assert bench.task.failure.position.offset == 1
    assert bench.task.positions == {IN: 1}


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
