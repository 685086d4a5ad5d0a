"""Typed routing: declared topics only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from holdfast import Event, To, Tombstone
from holdfast.engine.outputs import Router
from holdfast.errors import EventRefused, HandlerError, UndeclaredOutput
from holdfast.schema import TopicEncoder
from tests.unit.engine.kit import Added, Taken, Totalled


def make_router(limit: int = 1_000, cloudevents: bool = False, **topics: Sequence[type[Event]]) -> Router:
    """A router for topics that are all keyed by `key`."""
    encoders = {
        name: TopicEncoder(name, events, "key", cloudevents=cloudevents) for name, events in topics.items()
    }
    return Router("counter", encoders, dict.fromkeys(topics, limit))


def route(router: Router, result: Any) -> Any:
    """An output, by the way that the hot loop takes."""
    return router.direct.get(type(result), router.one)(result, 7)


@pytest.mark.parametrize("cloudevents", [False, True])
def test_an_event_goes_to_the_topic_that_declares_it(cloudevents: bool) -> None:
    """With its key, its headers and the time of the record that caused it."""
    output = route(
        make_router(adds=[Added, Taken], totals=[Totalled], cloudevents=cloudevents), Taken(key="k", n=1)
    )
    assert (output.topic, output.key, output.timestamp) == ("adds", b"k", 7)
    assert ("ce_type", b"Taken.v2") in output.headers
    assert len(output.headers) == (5 if cloudevents else 1)


def test_an_undeclared_event_is_an_error() -> None:
    """The message says what is declared."""
    with pytest.raises(UndeclaredOutput, match=r"emitted Taken, but none of its `writes` \(adds\)"):
        route(make_router(adds=[Added]), Taken(key="k", n=1))


def test_a_subclass_of_a_declared_event_is_undeclared() -> None:
    """It has another name on the wire."""

    class More(Added):
        pass

    with pytest.raises(UndeclaredOutput, match="More"):
        route(make_router(adds=[Added]), More(key="k", n=1))


def test_a_processor_without_writes_may_emit_nothing() -> None:
    """The message says so."""
    with pytest.raises(UndeclaredOutput, match="it declares none"):
        route(make_router(), Added(key="k", n=1))


def test_an_event_of_two_topics_needs_to() -> None:
    """Without it the message names both; with it the choice is followed."""
    router = make_router(one=[Added], two=[Added])
    with pytest.raises(UndeclaredOutput, match=r"one or two; return To\(topic, event\)"):
        route(router, Added(key="k", n=1))
    assert route(router, To("two", Added(key="k", n=1))).topic == "two"


@pytest.mark.parametrize("to", [To("three", Added(key="k", n=1)), To("one", Taken(key="k", n=1))])
def test_to_an_undeclared_topic_or_with_an_undeclared_event_is_an_error(to: To[Any]) -> None:
    """The declaration is law for it too."""
    with pytest.raises(UndeclaredOutput, match="does not declare topic"):
        route(make_router(one=[Added], two=[Added]), to)


def test_a_tombstone_follows_its_event_class() -> None:
    """Alone and inside To."""
    router = make_router(adds=[Added], totals=[Totalled])
    output = route(router, Tombstone(Totalled, "k"))
    assert (output.topic, output.key, output.value) == ("totals", b"k", None)
    assert route(router, To("adds", Tombstone(Added, "k"))).topic == "adds"


def test_a_tombstone_without_class_or_key_is_an_error() -> None:
    """It would delete nothing, or nobody knows where."""
    router = make_router(adds=[Added])
    with pytest.raises(HandlerError, match="must name its event class"):
        route(router, Tombstone(None, "k"))
    with pytest.raises(EventRefused, match="without a key"):
        route(router, Tombstone(Added, None))


@pytest.mark.parametrize(
    "result",
    [To("totals", Totalled(key="k", total=1, text="x" * 1000)), Totalled(key="k", total=1, text="x" * 1000)],
)
def test_an_output_above_the_limit_is_an_error(result: Any) -> None:
    """The message says how large it is and what to do."""
    with pytest.raises(HandlerError, match=r"1,\d\d\d bytes, above the limit of 1,000"):
        route(make_router(totals=[Totalled]), result)


@pytest.mark.parametrize("cloudevents", [False, True])
def test_the_key_counts_for_the_limit(cloudevents: bool) -> None:
    """The broker counts it, so a value just under the limit may not pass with a long key."""
    router = make_router(totals=[Totalled], limit=1_200, cloudevents=cloudevents)
    with pytest.raises(HandlerError, match="above the limit"):
        route(router, Totalled(key="k" * 500, total=1, text="x" * 300))


@pytest.mark.parametrize(
    ("result", "says"),
    [("text", "returned str"), ({"a": 1}, "returned dict"), (b"x", "returned bytes"), (3, "returned int")],
)
def test_something_else_than_events_is_an_error(result: Any, says: str) -> None:
    """Strings and mappings can be iterated, but hold no events."""
    with pytest.raises(HandlerError, match=says):
        make_router(adds=[Added]).many(result, 7)


def test_a_collection_with_something_else_is_an_error() -> None:
    """None among the outputs is no output."""
    with pytest.raises(HandlerError, match="NoneType among its outputs"):
        make_router(adds=[Added]).many([Added(key="k", n=1), None], 7)
