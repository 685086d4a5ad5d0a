"""What the static check sees between a handler and its declaration, before anything runs."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, Optional

import pytest

from holdfast import Event, To, Tombstone
from holdfast.engine.plan import check_handler
from holdfast.topology.model import ProcessorDecl, TopicDecl
from holdfast.topology.resolved import ResolvedProcessor, ResolvedTopic
from tests.unit.engine.kit import Added, Taken, Totalled


class Alarm(Event):
    key: str


class LoudAlarm(Alarm):
    volume: int


Writes = dict[str, list[type[Event]]]


def _topic(name: str, events: int) -> TopicDecl:
    return TopicDecl.model_validate({"<name>": name, "events": ["m:Class"] * events, "partitions": 1})


def problems(returns: Any, writes: Writes) -> list[str]:
    """Check a handler of Added that is annotated to return `returns`."""

    def handle(event): ...  # type: ignore[no-untyped-def]

    handle.__annotations__ = {"event": Added} | (
        {} if returns is inspect.Signature.empty else {"return": returns}
    )
    carried: Writes = {"adds": [Added], **writes}
    topics = {
        name: ResolvedTopic(_topic(name, len(events)), tuple(events)) for name, events in carried.items()
    }
    said = {"<name>": "p", "<app>": "a", "handler": "m:handle", "reads": ["adds"], "writes": list(writes)}
    decl = ProcessorDecl.model_validate(said)
    outputs = tuple(topics[name] for name in writes)
    return list(check_handler(ResolvedProcessor(decl, handle, {}, (topics["adds"],), outputs)))


@pytest.mark.parametrize(
    "returns",
    [
        Alarm,
        Alarm | None,
        Optional[Alarm],  # noqa: UP045 - both spellings are in use
        Totalled | Alarm,
        Iterator[Alarm],
        Iterable[Totalled | Alarm],
        Generator[Alarm, None, None],
        list[Alarm],
        Sequence[Alarm] | None,
        tuple[Totalled, Alarm],
        tuple[Alarm, ...],
        To[Alarm],
        list[To[Alarm] | Totalled],
    ],
    ids=str,
)
@pytest.mark.parametrize("writes", [{}, {"totals": [Totalled]}], ids=["none", "other"])
def test_an_annotated_output_that_no_topic_carries_is_told(returns: Any, writes: Writes) -> None:
    """With what is declared, and with what to do."""
    texts = [text for text in problems(returns, writes) if "Alarm" in text]
    declared = "totals" if writes else "none"
    assert len(texts) == 1
    assert texts[0].endswith(
        f"returns Alarm, which no topic of its `writes` carries (declared: {declared}); add a topic that "
        "carries it, or take it out of the annotation"
    )


@pytest.mark.parametrize(
    "returns",
    [
        inspect.Signature.empty,
        None,
        Any,
        object,
        Iterator[Any],
        list,
        tuple,
        tuple[()],
        To,
        Tombstone,
        Iterator[To[Any] | Tombstone],
        dict[Alarm, Alarm],
        AsyncIterator[Alarm],
        Callable[[], Alarm],
        int,
    ],
    ids=str,
)
def test_what_an_annotation_does_not_say_is_left_to_run_time(returns: Any) -> None:
    """Nothing is guessed."""
    assert problems(returns, {}) == []


@pytest.mark.parametrize("returns", [Totalled | Alarm | None, Iterator[Event], list[To[Alarm]], Tombstone])
def test_outputs_that_are_declared_are_in_order(returns: Any) -> None:
    """A base class stands for what its subclasses may be."""
    assert problems(returns, {"totals": [Totalled], "alarms": [Alarm, Taken]}) == []


def test_a_base_class_is_in_order_if_a_topic_carries_one_of_its_subclasses() -> None:
    """Which one it will be is not known before."""
    assert problems(Alarm, {"loud": [LoudAlarm]}) == []
    assert len(problems(LoudAlarm, {"alarms": [Alarm]})) == 1


def test_an_event_that_two_topics_carry_has_to_be_returned_with_its_topic() -> None:
    """Bare it is told, in `To` it is in order."""
    writes: Writes = {"alarms": [Alarm], "copies": [Alarm, Totalled]}
    (text,) = problems(Alarm | Totalled | None, writes)
    assert text.endswith(
        "returns Alarm, which topics alarms and copies of its `writes` carry; return To(topic, event) to "
        "choose, annotated To[Alarm]"
    )
    assert problems(To[Alarm] | Totalled, writes) == []
