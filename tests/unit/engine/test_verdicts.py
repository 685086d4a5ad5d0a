"""What was found out about a record after it was handled counts when it comes again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast import State
from holdfast.engine.dead_letter import PREFIX, TIMESTAMP
from holdfast.engine.processor_plan import Policy
from holdfast.errors import LetterRefused, OutputRefused
from holdfast.record import Position
from tests.unit.engine.kit import IN, LETTERS, OUT, Added, Bench, Sum, Totalled, added, make_plan

NOW = 99_000
AT = Position(IN, 3, 1)


def total(event: Added, sums: State[Sum]) -> Totalled:
    """A running sum, which raises at 13."""
    now = Sum(total=(sums.get() or Sum()).total + event.n)
    sums.set(now)
    if event.n == 13:
        raise ValueError("unlucky")
    return Totalled(key=event.key, total=now.total)


def bench(policy: Policy = "dead-letter") -> Bench:
    """A shard that has handled three records, of which the second one is refused, and has gone back."""
    return Bench(make_plan(total, on_error=policy))


def refused(topic: str = OUT, *, is_time: bool = False) -> OutputRefused:
    """What the brokers say."""
    return OutputRefused(topic, "too much", "Do something", is_time=is_time)


def totals(it: Bench) -> list[str]:
    """The outputs, but for dead letters."""
    return [(output.value or b"").decode() for output in it.unit.outputs if output.topic == OUT]


def test_a_refused_record_is_set_aside_without_its_handler() -> None:
    """Its state never happened, and those around it count as ever."""
    it = bench()
    it.task.refuse(AT, refused(), NOW)
    it.handle(*(added(n, n=n + 1) for n in range(3)))
    [letter] = [output for output in it.unit.outputs if output.topic == LETTERS]
    headers = dict(letter.headers)
    assert headers[PREFIX + "exception"] == b"holdfast.errors.OutputRefused"
    assert b"topic 'totals' does not take what came of this record: too much" in (
        headers[PREFIX + "message"] or b""
    )
    assert (letter.timestamp, TIMESTAMP in headers) == (1001, False)
    assert [f'"total":{n}' in text for n, text in zip((1, 4), totals(it), strict=True)] == [True, True]
    assert (it.unit.records, it.unit.dead_letters, it.unit.last) == (3, 1, Position(IN, 3, 2))
    it.commit()
    assert it.state() == Sum(total=4)


def test_a_refused_record_stops_its_shard_where_that_is_declared() -> None:
    """What is before it is handled, and nothing after it."""
    it = bench("stop")
    it.task.refuse(AT, refused(is_time=True), NOW)
    it.handle(*(added(n) for n in range(3)))
    assert it.task.failure is not None
    assert it.task.failure.position == AT
    assert str(it.task.failure.cause) == (
        "topic 'totals' does not take what came of this record: too much. Do something; or declare "
        "`on_error: dead-letter` to set such records aside"
    )
    assert (it.unit.records, it.task.positions) == (1, {IN: 1})


def test_a_letter_has_another_time_if_the_brokers_refuse_times() -> None:
    """The record's own is in a header."""
    it = bench()
    it.task.refuse(AT, refused(is_time=True), NOW)
    it.handle(*(added(n) for n in range(3)))
    [letter] = [output for output in it.unit.outputs if output.topic == LETTERS]
    assert letter.timestamp == NOW
    assert dict(letter.headers)[TIMESTAMP] == b"1001"


def test_a_letter_that_is_refused_for_its_time_gets_another_one_and_keeps_its_cause() -> None:
    """The handler says again what was wrong."""
    it = bench()
    it.task.refuse(AT, refused(LETTERS, is_time=True), NOW)
    it.handle(added(0), added(1, n=13), added(2))
    [letter] = [output for output in it.unit.outputs if output.topic == LETTERS]
    assert letter.timestamp == NOW
    assert dict(letter.headers)[PREFIX + "message"] == b"unlucky"


@pytest.mark.parametrize("how", ["too large", "its new time, too"])
def test_a_record_that_cannot_be_set_aside_stops_its_shard_whatever_is_declared(how: str) -> None:
    """Nothing else is left, if it is not to be skipped."""
    it = bench()
    is_time = how != "too large"
    it.task.refuse(AT, refused(is_time=is_time), NOW)
    it.task.refuse(AT, refused(LETTERS, is_time=is_time), NOW)
    it.handle(*(added(n) for n in range(3)))
    assert it.task.failure is not None
    assert isinstance(it.task.failure.cause, LetterRefused)
    assert str(it.task.failure.cause) == (
        "it is to be set aside, but topic 'app.dead-letters' does not take its dead letter: too much. "
        "Do something"
    )


def test_a_verdict_stays_until_the_record_is_behind_the_commit() -> None:
    """Whatever happens to units in between; in a log that begins anew it says nothing."""
    it = bench()
    it.task.failed(AT, ValueError("found later"))
    for _ in range(2):
        it.handle(*(added(n) for n in range(3)))
        assert it.unit.dead_letters == 1
        it.task.reset()
        it.unit = type(it.unit)()
    it.handle(added(0))
    it.commit()
    it.handle(added(1), added(2))
    assert it.unit.dead_letters == 1
    it.commit()
    it.handle(added(1))
    assert it.unit.dead_letters == 0


def test_a_verdict_is_on_one_input() -> None:
    """Others of the shard have the same offsets."""
    plan = make_plan(total, reads={IN: [Added], "more": [Added]})
    it = Bench(replace(plan, on_error="dead-letter"))
    it.task.failed(AT, ValueError("found later"))
    it.handle(added(0), added(1), topic="more")
    assert it.unit.dead_letters == 0
