"""Records that are tried again, set aside with a limit, or dropped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from holdfast import Event, State, processor
from holdfast.engine.handler import inspect_handler
from holdfast.engine.letter_limit import LetterLimit
from holdfast.engine.outputs import Router
from holdfast.engine.processor_plan import ProcessorPlan
from holdfast.engine.retries import RetryPolicy
from holdfast.engine.shard import ShardTask
from holdfast.engine.unit import Unit
from holdfast.errors import OutputRefused, TooManySetAside
from holdfast.record import Position
from holdfast.resilience import Backoff, RetryBudget
from holdfast.schema import EventDecoder, TopicEncoder, ValueCodec
from holdfast.testing import MemoryMessage, MemoryStore

TOPIC = "adds"


class Added(Event):
    """A number."""

    key: str
    n: int


class Clock:
    """Seconds that a test moves on."""

    now = 100.0

    def __call__(self) -> float:
        """The seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


@pytest.fixture
def failures() -> dict[int, int]:
    """How often the handler is still to fail at a number."""
    return {}


Make = Callable[..., ShardTask]


@pytest.fixture
def make(clock: Clock, failures: dict[int, int]) -> Make:
    """Make a shard of a handler that fails as `failures` says, and sums up otherwise."""

    @processor
    def handle(event: Added, sums: State[int]) -> Added:
        if failures.get(event.n, 0):
            failures[event.n] -= 1
            raise ValueError(f"{event.n} is odd")
        sums.set((sums.get() or 0) + event.n)
        return event

    def task(
        attempts: int | None = 3, *, budget: RetryBudget | None = None, retries: bool = True, **options: Any
    ) -> ShardTask:
        backoff = Backoff(1.0, 4.0)
        policy = RetryPolicy(attempts, backoff, budget, clock, jitter=lambda: 1.0) if retries else None
        plan = ProcessorPlan(
            name="sum",
            handler=inspect_handler(handle),
            decoders={TOPIC: EventDecoder([Added])},
            tables={"sums": ValueCodec(int)},
            router=Router("sum", {"out": TopicEncoder("out", [Added], "key")}, {"out": 10_000}),
            dead_letter_topic="letters",
            retry=policy,
            **options,
        )
        return ShardTask(plan, 0, MemoryStore(), {TOPIC: 0})

    return task


def records(*numbers: int, begin: int = 0) -> list[MemoryMessage]:
    """Records with these numbers."""
    return [
        MemoryMessage(TOPIC, 0, begin + at, key=b"k", value=b'{"key":"k","n":%d}' % n)
        for at, n in enumerate(numbers)
    ]


def rest(task: ShardTask, *numbers: int) -> list[MemoryMessage]:
    """Of all records those that are left."""
    return records(*numbers)[task.positions[TOPIC] :]


def total(task: ShardTask) -> int:
    """What the shard has summed up."""
    return int(task.seal().changes["sums"][-1][1] or 0)


def headers_of(unit: Unit, at: int = 0) -> Mapping[str, bytes]:
    """Of a dead letter."""
    letters = [output for output in unit.outputs if output.topic == "letters"]
    return dict(letters[at].headers or ())


def test_a_record_is_tried_again_when_it_is_due(make: Make, clock: Clock, failures: dict[int, int]) -> None:
    """Until then its input waits, and nothing behind it is handled."""
    failures[2] = 1
    task, unit = make(on_error="dead-letter"), Unit()
    task.handle(TOPIC, records(1, 2, 3), unit)
    assert task.positions[TOPIC] == 1
    assert task.waiting_at(TOPIC) == 1
    assert task.waits(TOPIC)
    assert task.is_retrying
    # As after a rebalance, or a unit that is done again.
    task.handle(TOPIC, rest(task, 1, 2, 3), unit)
    assert task.positions[TOPIC] == 1
    clock.now += 1.0
    assert not task.waits(TOPIC)
    task.handle(TOPIC, rest(task, 1, 2, 3), unit)
    assert task.positions[TOPIC] == 3
    assert [output.topic for output in unit.outputs] == ["out"] * 3
    assert not task.is_retrying


def test_when_its_attempts_are_used_up_the_policy_judges_it(
    make: Make, clock: Clock, failures: dict[int, int]
) -> None:
    """The dead letter says how many there were."""
    failures[2] = 3
    task, unit = make(on_error="dead-letter"), Unit()
    waits = []
    for _ in range(3):
        task.handle(TOPIC, rest(task, 1, 2, 3), unit)
        before = clock.now
        while task.waits(TOPIC):
            clock.now += 0.25
        waits.append(clock.now - before)
    assert waits == [1.0, 2.0, 0.0]
    assert headers_of(unit)["holdfast.attempts"] == b"3"
    assert unit.dead_letters == 1
    assert total(task) == 4


def test_without_an_end_the_shard_waits_as_long_as_it_takes(
    make: Make, clock: Clock, failures: dict[int, int]
) -> None:
    """`on_error: retry`; the waits grow to a limit."""
    failures[1] = 50
    task, unit = make(None, on_error="retry"), Unit()
    for _ in range(51):
        task.handle(TOPIC, rest(task, 1, 2), unit)
        clock.now += 4.0
    assert task.failure is None
    assert total(task) == 3


def test_what_brokers_refuse_stops_a_shard_that_would_try_for_ever(make: Make) -> None:
    """No other attempt makes it smaller."""
    task = make(None, on_error="retry")
    task.refuse(Position(TOPIC, 0, 0), OutputRefused("out", "too large", "raise the limit", is_time=False), 5)
    task.handle(TOPIC, records(1), Unit())
    assert task.failure is not None
    assert isinstance(task.failure.cause, OutputRefused)


def test_a_budget_that_is_used_up_ends_the_attempts(
    make: Make, clock: Clock, failures: dict[int, int]
) -> None:
    """When everything fails, waiting for each record would make it worse."""
    failures.update(dict.fromkeys(range(1, 6), 100))
    budget = RetryBudget(ratio=0.0, per_s=0.0, capacity=2, clock=clock)
    task, unit = make(2, budget=budget, on_error="dead-letter"), Unit()
    for _ in range(5):
        task.handle(TOPIC, rest(task, 1, 2, 3, 4, 5), unit)
        clock.now += 10.0
    assert task.positions[TOPIC] == 5
    attempts = [headers_of(unit, at)["holdfast.attempts"] for at in range(5)]
    assert attempts == [b"2", b"2", b"1", b"1", b"1"]


def test_a_unit_that_is_done_again_keeps_its_attempts(
    make: Make, clock: Clock, failures: dict[int, int]
) -> None:
    """An aborted transaction gives a record no more of them."""
    failures[2] = 100
    task, unit = make(2, on_error="dead-letter"), Unit()
    task.handle(TOPIC, records(1, 2), unit)
    task.reset()
    clock.now += 1.0
    task.handle(TOPIC, records(1, 2), unit := Unit())
    assert task.positions[TOPIC] == 2
    task.reset()
    task.handle(TOPIC, records(1, 2), unit := Unit())
    assert headers_of(unit)["holdfast.attempts"] == b"3"
    assert failures[2] == 97


def test_a_bad_record_is_never_tried_again(make: Make) -> None:
    """Its bytes are what they are."""
    task, unit = make(5, on_error="stop"), Unit()
    task.handle(TOPIC, [MemoryMessage(TOPIC, 0, 0, key=b"k", value=b"no JSON")], unit)
    assert task.positions[TOPIC] == 1
    assert unit.dead_letters == 1


def test_a_failure_of_an_async_handler_is_tried_again_too(make: Make, clock: Clock) -> None:
    """It is known only when the unit is on its way: the shard goes back, and waits."""
    task = make(2, on_error="stop")
    task.handle(TOPIC, records(1, 2), Unit())
    task.failed(Position(TOPIC, 0, 1), ValueError("no answer"))
    task.reset()
    task.handle(TOPIC, records(1, 2), Unit())
    assert task.waiting_at(TOPIC) == 1
    clock.now += 1.0
    task.handle(TOPIC, rest(task, 1, 2), Unit())
    assert task.positions[TOPIC] == 2
    task.failed(Position(TOPIC, 0, 1), ValueError("no answer"))
    task.reset()
    task.handle(TOPIC, records(1, 2), Unit())
    assert task.failure is not None
    assert task.failure.position == Position(TOPIC, 0, 1)


def test_what_is_dropped_leaves_nothing_but_a_line_in_the_log(
    make: Make, failures: dict[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    """And is counted."""
    failures[2] = 1
    task, unit = make(retries=False, on_error="drop", on_bad_record="drop"), Unit()
    bad = MemoryMessage(TOPIC, 0, 3, key=b"k", value=b"no JSON")
    task.handle(TOPIC, [*records(1, 2, 3), bad], unit)
    assert [output.topic for output in unit.outputs] == ["out"] * 2
    assert (unit.dropped, unit.dead_letters) == (2, 0)
    assert "processor 'sum' drops adds[0]@1: ValueError: 2 is odd" in caplog.text
    assert task.positions[TOPIC] == 4


@pytest.mark.parametrize("policy", ["dead-letter", "drop"])
def test_too_many_failures_stop_the_shard_instead(make: Make, failures: dict[int, int], policy: str) -> None:
    """It stands at the first that is not set aside any more, and says why."""
    failures.update(dict.fromkeys(range(5, 100), 1))
    limit = LetterLimit(0.5, 10)
    task, unit = make(retries=False, on_error=policy, letter_limit=limit), Unit()
    task.handle(TOPIC, records(*range(20)), unit)
    assert task.failure is not None
    assert task.failure.position == Position(TOPIC, 0, 10)
    assert isinstance(task.failure.cause, TooManySetAside)
    said = str(task.failure.cause)
    assert said.startswith("5 of the last 10 records of this shard were set aside, and here is one more: ")
    assert "ValueError: 10 is odd" in said
    assert unit.dead_letters + unit.dropped == 5


def test_a_shard_that_was_started_again_may_set_aside_as_many_as_before(
    make: Make, failures: dict[int, int]
) -> None:
    """Somebody has looked at it."""
    failures.update(dict.fromkeys(range(100), 100))
    limit = LetterLimit(0.5, 10)
    task = make(retries=False, on_error="dead-letter", letter_limit=limit)
    task.handle(TOPIC, records(*range(20)), Unit())
    assert task.positions[TOPIC] == 5
    again = make(retries=False, on_error="dead-letter", letter_limit=limit)
    again.handle(TOPIC, records(*range(5, 20), begin=5), Unit())
    assert again.positions[TOPIC] == 10


def test_a_wait_that_is_over_at_once_skips_nothing(
    make: Make, clock: Clock, failures: dict[int, int]
) -> None:
    """What stood behind the record has to be read again, however short the wait was."""
    failures[2] = 1
    task = make(on_error="retry")
    task.handle(TOPIC, records(1, 2, 3), Unit())
    clock.now += 1.0
    assert not task.waits(TOPIC)
    assert task.waiting_at(TOPIC) == 1
    task.handle(TOPIC, rest(task, 1, 2, 3), Unit())
    assert task.waiting_at(TOPIC) is None
    assert task.positions[TOPIC] == 3
