"""Typed routing: which declared topic an output goes to, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Protocol, TypeGuard

from holdfast.engine.handler import To
from holdfast.errors import HandlerError, UndeclaredOutput
from holdfast.record import Message, Output
from holdfast.schema import Encoded, Event, Tombstone, TopicEncoder
from holdfast.schema.strict import UNWRITABLE

Route = Callable[[Any], Encoded]
WriterKind = Literal["processor", "producer", "leader task"]
Direct = Callable[[Any, int], Output]
"""Event and timestamp to output, everything looked up beforehand."""
Emit = Callable[[Any, Message, list[Any]], None]
"""Adds what a handler returned for a record to what is to be written; nothing of it if it raises."""


def are_several(results: Any) -> TypeGuard[Iterable[Any]]:
    """Whether what a handler returned is a collection of outputs, and no text or mapping."""
    return isinstance(results, Iterable) and not isinstance(results, (str, bytes, Mapping))


class Emitter(Protocol):
    """Knows what becomes of that which a handler returns."""

    def emit(self) -> Emit:
        """The way to go for each result, everything looked up beforehand."""


class Router:
    """Turns what a handler returned into outputs.

    Args:
        writer: the name of the processor, producer or leader task, for messages.
        encoders: for each topic in the processor's `writes`, its encoder.
        limits: for each of them, the largest key and value together that the broker accepts, in bytes.
        kind: what the writer is.
        redirect: for each of these topics, the one that its outputs are written to instead.

    Attributes:
        direct: for each event class that only one topic takes, and with a key, its whole way to an
            output. The hot loop looks here first; `one` serves everything else.
    """

    def __init__(
        self,
        writer: str,
        encoders: Mapping[str, TopicEncoder],
        limits: Mapping[str, int],
        *,
        kind: WriterKind = "processor",
        redirect: Mapping[str, str] | None = None,
    ) -> None:
        self._given = writer, kind
        self._writer = f"{kind} {writer!r}"
        # Each topic has to be there: none may be written to by oversight.
        self._names = {topic: redirect[topic] if redirect else topic for topic in encoders}
        self._encoders = encoders
        self._limits = limits
        self._by_class: dict[type, tuple[str, Route] | None] = {}
        for topic, encoder in encoders.items():
            for event_type in encoder.events:
                # None marks a class that two topics take: only `To` can choose.
                taken = event_type in self._by_class
                self._by_class[event_type] = None if taken else (topic, encoder.encode)
        self.direct: dict[type, Direct] = {
            event_type: self._direct(route[0], event_type)
            for event_type, route in self._by_class.items()
            if route is not None
        }

    def redirected(self, topics: Mapping[str, str]) -> Router:
        """The same way from events to outputs, which are written to other topics.

        Args:
            topics: for each declared topic, the one that takes its place.

        Raises:
            KeyError: one has no such topic.
        """
        writer, kind = self._given
        return Router(writer, self._encoders, self._limits, kind=kind, redirect=topics)

    def emit(self) -> Emit:
        """The way to go for each result, everything looked up beforehand."""
        direct, one, many, takes = self.direct, self.one, self.many, self.takes

        def emit(result: Any, message: Message, outputs: list[Any]) -> None:
            timestamp = message.timestamp()[1]
            route = direct.get(type(result))
            if route is not None:
                outputs.append(route(result, timestamp))
            elif takes(result):
                outputs.append(one(result, timestamp))
            else:
                outputs.extend(many(result, timestamp))

        return emit

    def one(self, result: Any, timestamp: int) -> Output:
        """The output for one event.

        Raises:
            UndeclaredOutput: no declared topic takes it, or more than one does.
            HandlerError: it is not an event, or larger than the broker accepts.
        """
        route = self._by_class.get(type(result))
        topic, encode = route if route is not None else self._slow_route(result)
        if type(result) is To:
            result = result.event
        key, value, headers = encode(result)
        if value is not None and len(value) + len(key or b"") > self._limits[topic]:
            raise self._too_large(topic, key, value)
        return Output(self._names[topic], value, key, timestamp, headers)

    def many(self, results: Iterable[Any], timestamp: int) -> list[Output]:
        """The outputs for everything that a handler yielded.

        Raises:
            UndeclaredOutput: as for `one`.
            HandlerError: as for `one`, or it returned something that cannot be iterated.
        """
        if not are_several(results):
            raise HandlerError(
                f"the handler returned {type(results).__name__}; it must return None, an event or events"
            )
        return [self.one(result, timestamp) for result in results]

    def takes(self, result: Any) -> bool:
        """Whether `result` is a single output, not a collection of them."""
        return isinstance(result, (Event, To, Tombstone))

    def _direct(self, topic: str, event_type: type[Event]) -> Direct:
        encoder, limit = self._encoders[topic], self._limits[topic]
        to_json, key_of, headers = encoder.by_class[event_type]
        if headers is None or key_of is None:
            return self.one
        new, settled, target = tuple.__new__, headers, self._names[topic]

        def direct(event: Any, timestamp: int) -> Output:
            name = key_of(event)
            try:
                # Most keys are strings: their bytes need no look at the type.
                key = name.encode() if type(name) is str else encoder.encode_key(event, name)
                value = to_json(event)
            except UNWRITABLE as error:
                raise encoder.unwritable(event, error) from error
            except UnicodeEncodeError:
                # Its own error names topic and field.
                encoder.encode_key(event, name)
                raise
            if len(key) + len(value) > limit:
                raise self._too_large(topic, key, value)
            # A named tuple's own constructor takes twice as long.
            return new(Output, (target, value, key, timestamp, settled))

        return direct

    def _too_large(self, topic: str, key: bytes | None, value: bytes) -> HandlerError:
        return HandlerError(
            f"an output for topic {topic!r} has {len(key or b'') + len(value):,} bytes, above the limit of "
            f"{self._limits[topic]:,}; make the event smaller, or raise the topic's max.message.bytes"
        )

    def _slow_route(self, result: Any) -> tuple[str, Route]:
        if isinstance(result, To):
            return self._chosen(result)
        if isinstance(result, Tombstone):
            if result.event_type is None:
                raise HandlerError(
                    "a Tombstone in an output must name its event class: Tombstone(OrderPlaced, key)"
                )
            return self._declared(result.event_type)
        if isinstance(result, Event):
            return self._declared(type(result))
        raise HandlerError(
            f"the handler returned {type(result).__name__} among its outputs; only events can be"
        )

    def _chosen(self, to: To[Any]) -> tuple[str, Route]:
        encoder = self._encoders.get(to.topic)
        event_type = to.event.event_type if isinstance(to.event, Tombstone) else type(to.event)
        if encoder is None or event_type not in encoder.events:
            name = event_type.__name__ if event_type else "a tombstone"
            raise UndeclaredOutput(
                f"{self._writer} does not declare topic {to.topic!r} for {name}; add it to its `writes`"
            )
        return to.topic, encoder.encode

    def _declared(self, event_type: type) -> tuple[str, Route]:
        if event_type not in self._by_class:
            raise UndeclaredOutput(
                f"{self._writer} emitted {event_type.__name__}, but none of its `writes` "
                f"({', '.join(self._encoders) or 'it declares none'}) takes that event; "
                "add a topic that carries it"
            )
        route = self._by_class[event_type]
        if route is None:
            topics = [t for t, e in self._encoders.items() if event_type in e.events]
            raise UndeclaredOutput(
                f"{event_type.__name__} could go to {' or '.join(topics)}; return To(topic, event) to choose"
            )
        return route
