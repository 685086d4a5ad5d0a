"""Leader tasks: signatures, and what a call makes of what it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from holdfast import Event, Leadership, To, leader_task
from holdfast.engine.leader_log import TOKEN_HEADER
from holdfast.engine.leader_plan import TaskPlan, plan_task
from holdfast.errors import HandlerError, UndeclaredOutput
from holdfast.topology.model import LeaderTaskDecl, TopicDecl
from holdfast.topology.resolved import ResolvedLeaderTask, ResolvedTopic

AT = datetime(2026, 3, 2, 3, tzinfo=UTC)
LEADERSHIP = Leadership(token=7, slot="host-0", elected_at=AT, scheduled_at=AT)


class Closed(Event):
    """A day was closed."""

    day: str


class Note(Event):
    """Something else."""

    text: str


def topic(name: str, *events: type[Event], key: str | None = None) -> ResolvedTopic:
    """A topic with these events."""
    decl = TopicDecl.model_validate(
        {"<name>": name, "events": [f"m:{e.__name__}" for e in events], "partitions": 1, "key": key}
    )
    return ResolvedTopic(decl, events)


DAYS, COPIES = topic("days", Closed, key="day"), topic("copies", Closed)


def plan(function: Callable[..., Any], *writes: ResolvedTopic) -> TaskPlan:
    """A task that may write to these topics."""
    decl = LeaderTaskDecl.model_validate({"<name>": "close-day", "task": "m:f", "every": "1h"})
    return plan_task(ResolvedLeaderTask(decl, function, writes), "shop")


def test_a_task_takes_nothing_or_the_leadership() -> None:
    """The decorator gives the function back as it was."""

    @leader_task
    def alone() -> None: ...

    @leader_task()
    def led(leadership: Leadership) -> None: ...

    assert alone() is None
    assert not plan(alone).spec.takes_leadership
    assert plan(led).spec.takes_leadership


def test_any_other_parameter_is_refused_where_it_is_defined() -> None:
    """Nobody could supply it."""

    def unknown(day: str) -> None: ...
    def twice(one: Leadership, two: Leadership) -> None: ...
    def keyword(*, one: Leadership) -> None: ...
    def many(*one: Leadership) -> None: ...
    async def waits() -> None: ...

    for function, said in (
        (unknown, "parameter 'day' cannot be supplied"),
        (twice, "parameter 'one' cannot be supplied"),
        (keyword, "parameter 'one' cannot be supplied"),
        (many, "parameter 'one' cannot be supplied"),
        (waits, "is async"),
        (len, "is not a function"),
    ):
        with pytest.raises(HandlerError, match=said):
            leader_task(function)


def test_outputs_have_the_scheduled_time_and_the_token() -> None:
    """So that a run that is done again writes the same, and a reader can tell whose it is."""

    def close(leadership: Leadership) -> Closed:
        return Closed(day=f"{leadership.scheduled_at:%F}")

    (output,) = plan(close, DAYS).run(LEADERSHIP)
    assert (output.topic, output.key, output.value) == ("days", b"2026-03-02", b'{"day":"2026-03-02"}')
    assert output.timestamp == 1_772_420_400_000
    assert dict(output.headers) == {"ce_type": b"Closed.v1", TOKEN_HEADER: b"7"}


def test_headers_that_events_of_a_class_share_are_left_alone() -> None:
    """A token of one run must not show up in the next."""
    made = plan(lambda: Closed(day="a"), DAYS)
    made.run(LEADERSHIP)
    (output,) = made.run(LEADERSHIP)
    assert [name for name, _ in output.headers] == ["ce_type", TOKEN_HEADER]


def test_a_task_returns_what_a_handler_may() -> None:
    """Nothing, one event, several, or it yields them."""

    def yields() -> Iterator[Closed | To[Closed]]:
        yield Closed(day="a")
        yield To("days", Closed(day="b"))

    assert plan(lambda: None, DAYS).run(LEADERSHIP) == []
    assert len(plan(lambda: [Closed(day="a"), Closed(day="b")], DAYS).run(LEADERSHIP)) == 2
    assert [output.key for output in plan(yields, DAYS).run(LEADERSHIP)] == [b"a", b"b"]
    assert plan(lambda: To("copies", Closed(day="a")), DAYS, COPIES).run(LEADERSHIP)[0].topic == "copies"


def test_what_is_not_declared_is_refused() -> None:
    """Before anything is written."""
    with pytest.raises(UndeclaredOutput, match="leader task 'close-day' emitted Note"):
        plan(lambda: Note(text="x"), DAYS).run(LEADERSHIP)
    with pytest.raises(HandlerError, match="returned int"):
        plan(lambda: 3, DAYS).run(LEADERSHIP)


def test_a_leadership_of_a_test_is_held() -> None:
    """Users make one to call their tasks with."""
    assert LEADERSHIP.held
    assert Leadership(token=7, slot="host-0", elected_at=AT, scheduled_at=AT) == LEADERSHIP
