"""Events to bytes: one encoder for each topic, with everything looked up beforehand."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import NamedTuple

from holdfast.errors import EventRefused, SchemaError
from holdfast.schema.event import TYPE_HEADER, Event, Tombstone, check_event_class, wire_type
from holdfast.schema.keys import encode_key
from holdfast.schema.strict import UNWRITABLE

WireHeaders = list[tuple[str, bytes]]
"""Headers in the form that the client takes. The list is shared by all events of a class: never change it."""

Encoded = tuple[bytes | None, bytes | None, WireHeaders]
"""Key, value and headers of a record."""


class ClassEncoder(NamedTuple):
    """The parts of one event class's encoding, for callers that inline it.

    Attributes:
        to_json: event to the bytes of the value; raises one of `UNWRITABLE`.
        key: event to the value of its key field, not encoded yet; None if the topic has no key.
        headers: the headers of every event of the class; None if they differ from event to event.
    """

    to_json: Callable[[Event], bytes]
    key: Callable[[Event], object] | None
    headers: WireHeaders | None


class TopicEncoder:
    """Encodes events and tombstones for one topic.

    Attributes:
        topic: the topic's name.
        key_field: the field that holds the key; None for a topic without keys.
        events: the event classes that may be written.
        by_class: the parts of the encoding by event class, for callers that inline it.
    """

    __slots__ = ("_ids", "_source", "by_class", "events", "key_field", "topic")

    def __init__(
        self,
        topic: str,
        events: Sequence[type[Event]],
        key_field: str | None,
        *,
        cloudevents: bool = False,
        source: str = "holdfast",
    ) -> None:
        """Prepare the encoder.

        Args:
            topic: the topic's name.
            events: the event classes that the topic declares.
            key_field: the field of every one of them that holds the key.
            cloudevents: also write ``ce_specversion``, ``ce_id``, ``ce_source`` and ``content-type``,
                which makes the record a complete CloudEvent but costs a third of the throughput.
            source: the value of ``ce_source``: the application's name.

        Raises:
            SchemaError: when an event class is unusable or lacks the key field.
        """
        self.topic = topic
        self.key_field = key_field
        self.events = tuple(events)
        self._source = source.encode() if cloudevents else None
        # Unique without a random number for each event: a random prefix for each encoder, then a count.
        self._ids = (f"{prefix}-{n}".encode() for prefix in [uuid.uuid4().hex] for n in itertools.count())
        self.by_class = {event: self._class_encoder(event) for event in self.events}

    def _class_encoder(self, event: type[Event]) -> ClassEncoder:
        check_event_class(event)
        key = None
        if self.key_field is not None:
            known = {**event.model_fields, **event.model_computed_fields}
            if self.key_field not in known:
                raise SchemaError(
                    f"topic {self.topic} is keyed by {self.key_field!r}, but {event.__event_name__} has no "
                    f"such field (it has {', '.join(known) or 'none'})."
                )
            key = attrgetter(self.key_field)
        headers = None if self._source is not None else [(TYPE_HEADER, wire_type(event))]
        return ClassEncoder(event.__pydantic_serializer__.to_json, key, headers)

    def headers_of(self, event_type: type[Event]) -> WireHeaders:
        """Return the headers of the next record of `event_type`."""
        shared = self.by_class[event_type].headers
        if shared is not None or self._source is None:
            return shared or []
        return [
            (TYPE_HEADER, wire_type(event_type)),
            ("ce_specversion", b"1.0"),
            ("ce_id", next(self._ids)),
            ("ce_source", self._source),
            ("content-type", b"application/json"),
        ]

    def encode(self, event: Event | Tombstone) -> Encoded:
        """Return key, value and headers of the record for an event or a tombstone.

        Raises:
            EventRefused: when the topic does not declare the event's class, or the key is missing or
                of a type that cannot be a key, or a field cannot be written as JSON.
        """
        if isinstance(event, Tombstone):
            return self._encode_tombstone(event)
        encoder = self.by_class.get(type(event))
        if encoder is None:
            raise self.undeclared(type(event))
        key = None if encoder.key is None else self.encode_key(event, encoder.key(event))
        try:
            value = encoder.to_json(event)
        except UNWRITABLE as error:
            raise self.unwritable(event, error) from error
        return key, value, encoder.headers or self.headers_of(type(event))

    def _encode_tombstone(self, tombstone: Tombstone) -> Encoded:
        event_type = tombstone.event_type
        if event_type is None and len(self.events) == 1:
            event_type = self.events[0]
        if event_type is not None and event_type not in self.by_class:
            raise self.undeclared(event_type)
        if self.key_field is None or tombstone.key is None:
            raise EventRefused(f"a tombstone without a key deletes nothing (topic {self.topic}).")
        headers = [] if event_type is None else self.headers_of(event_type)
        return encode_key(tombstone.key), None, headers

    def encode_key(self, event: Event, value: object) -> bytes:
        """Return the bytes of `event`'s key `value`; the error of a bad one names topic and field."""
        try:
            return encode_key(value)
        except EventRefused as error:
            name = type(event).__event_name__
            raise EventRefused(f"topic {self.topic}, {name}.{self.key_field}: {error}") from error

    def undeclared(self, event_type: type) -> EventRefused:
        """Return the error for an event class that the topic does not declare."""
        name = getattr(event_type, "__event_name__", event_type.__name__)
        allowed = ", ".join(event.__event_name__ for event in self.events)
        return EventRefused(
            f"topic {self.topic} does not declare {name} (it declares {allowed}). Add it to the topic's "
            "events in the topology, or publish to another topic."
        )

    def unwritable(self, event: Event, error: Exception) -> EventRefused:
        """Return the error for an event that cannot be written as JSON."""
        return EventRefused(
            f"topic {self.topic}: {type(event).__event_name__} cannot be written as JSON: {error}"
        )
