"""Bytes to events: one decoder for each topic, with everything looked up beforehand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from holdfast.errors import EmptyRecord, InvalidEvent, NewerVersion, SchemaError, UnknownType
from holdfast.schema.event import (
    TYPE_HEADER,
    Event,
    Tombstone,
    Upcaster,
    check_event_class,
    parse_wire_type,
    wire_type,
)
from holdfast.schema.explain import explain_record, shorten

RawHeaders = Sequence[tuple[str, bytes | None]]
"""Record headers as the client gives them."""

Validate = Callable[[bytes], Event]
"""Turns a record's value into an event; raises pydantic's ``ValidationError`` or a `DecodeError`."""

Decode = Callable[[bytes | None, RawHeaders | None, bytes | None], Event | Tombstone]
"""Turns value, headers and key of a record into an event or a tombstone; raises `DecodeError`."""


class EventDecoder:
    """Decodes the records of one topic.

    Attributes:
        events: the event classes of the topic.
        decode: ``decode(value, headers, key)``, the whole job. Raises `NotJson`, `EmptyRecord`,
            `UnknownType`, `NewerVersion` or `InvalidEvent`.
        by_type: validator by the value of the type header: every readable version of every event.
            Its functions raise pydantic's ``ValidationError`` for the current version and a
            `DecodeError` for older ones.
        fast: the validator of the topic's only event in its current version, or None if the topic has
            several events. It may be called directly for a non-empty value whose headers are missing
            or equal `fast_headers`; turn its ``ValidationError`` into ours with `explain`.
        fast_headers: the headers that `TopicEncoder` writes for that event; None with `fast`.
    """

    __slots__ = ("_by_name", "_events", "by_type", "decode", "events", "fast", "fast_headers")

    def __init__(self, events: Sequence[type[Event]]) -> None:
        """Prepare the decoder.

        Raises:
            SchemaError: when an event class is unusable, or two of them share a name.
        """
        self.events = tuple(events)
        self._by_name = _by_name(self.events)
        self.by_type: dict[bytes, Validate] = {}
        self._events: dict[bytes, type[Event]] = {}
        for event in self.events:
            for header, validate in _validators(event).items():
                self.by_type[header] = validate
                self._events[header] = event
        self.fast: Validate | None = None
        self.fast_headers: list[tuple[str, bytes]] | None = None
        if len(self.events) == 1:
            current = wire_type(self.events[0])
            self.fast = self.by_type[current]
            self.fast_headers = [(TYPE_HEADER, current)]
        self.decode: Decode = _fast_decode(self) if self.fast else self.decode_any

    def decode_any(
        self, value: bytes | None, headers: RawHeaders | None = None, key: bytes | None = None
    ) -> Event | Tombstone:
        """Decode a record of any of the topic's events; what `decode` does where no shortcut applies."""
        header = next((text for name, text in headers if name == TYPE_HEADER), None) if headers else None
        if value is None:
            return self._tombstone(header, key)
        if not value:
            raise EmptyRecord("the value has no bytes; a deletion is a record with a null value.")
        if header is None:
            header = self._only_type()
        validate = self.by_type.get(header)
        if validate is None:
            raise self._refuse(header)
        try:
            return validate(value)
        except ValidationError as error:
            raise explain_record(error, self._events[header].__event_name__, value) from error

    def explain(self, error: ValidationError, value: bytes) -> Exception:
        """Return the `DecodeError` for a ``ValidationError`` that `fast` raised."""
        return explain_record(error, self.events[0].__event_name__, value)

    def _only_type(self) -> bytes:
        if len(self.events) != 1:
            raise UnknownType(
                f"the record has no {TYPE_HEADER} header, and its topic declares {len(self.events)} events "
                f"({', '.join(self._by_name)}), so it cannot be told which one it is."
            )
        return wire_type(self.events[0])

    def _tombstone(self, header: bytes | None, key: bytes | None) -> Tombstone:
        if header is None:
            return Tombstone(self.events[0] if len(self.events) == 1 else None, key)
        event = self._by_name.get(parse_wire_type(header)[0])
        if event is None:
            raise self._refuse(header)
        return Tombstone(event, key)

    def _refuse(self, header: bytes) -> UnknownType | NewerVersion:
        """Return the error for a type header that no validator stands for."""
        name, version = parse_wire_type(header)
        event = self._by_name.get(name)
        if event is None or version is None:
            known = ", ".join(self._by_name)
            return UnknownType(f"the record is a {shorten(name)}; its topic declares only {known}.")
        if version > event.__event_version__:
            return NewerVersion(
                f"the record is a {name} of version {version}; this program knows versions up to "
                f"{event.__event_version__}. Deploy the newer contract here before its producers use it."
            )
        return UnknownType(
            f"the record is a {name} of version {version}, older than the oldest that the class declares "
            f"(oldest={event.__event_oldest__}). Lower oldest= and add the upcasters."
        )


def _fast_decode(decoder: EventDecoder) -> Decode:
    """Return a decode function whose common case is one comparison and one call into pydantic's core."""
    fast, expected, slow = decoder.fast, decoder.fast_headers, decoder.decode_any
    explain = decoder.explain
    assert fast is not None

    def decode(
        value: bytes | None, headers: RawHeaders | None = None, key: bytes | None = None
    ) -> Event | Tombstone:
        if value and (not headers or headers == expected):
            try:
                return fast(value)
            except ValidationError as error:
                raise explain(error, value) from error
        return slow(value, headers, key)

    return decode


def _by_name(events: Sequence[type[Event]]) -> dict[str, type[Event]]:
    if not events:
        raise SchemaError("a topic needs at least one event class.")
    names: dict[str, type[Event]] = {}
    for event in events:
        check_event_class(event)
        other = names.setdefault(event.__event_name__, event)
        if other is not event:
            raise SchemaError(
                f"{other.__module__}:{other.__qualname__} and {event.__module__}:{event.__qualname__} share "
                f"the event name {event.__event_name__!r}; give one of them another name=."
            )
    return names


def _validators(event: type[Event]) -> dict[bytes, Validate]:
    """Return the validators of all readable versions of `event`, by type header."""
    current: Validate = event.__pydantic_validator__.validate_json
    found: dict[bytes, Validate] = {wire_type(event): current}
    # A producer that writes a bare name knows no versions: it is taken like one without the header.
    found[event.__event_name__.encode()] = current
    for version in range(event.__event_oldest__, event.__event_version__):
        found[wire_type(event, version)] = _old_version(event, version)
    return found


def _old_version(event: type[Event], version: int) -> Validate:
    """Return the validator of an older version: JSON, then the upcasters in order, then the class."""
    steps = [(v, event.__event_upcasters__[v]) for v in range(version, event.__event_version__)]
    validate_json = event.__pydantic_validator__.validate_json

    def decode(value: bytes) -> Event:
        try:
            old = from_json(value)
        except ValueError:
            # The validator words the syntax error the same way as for the current version.
            return validate_json(value)  # type: ignore[no-any-return]
        for step, upcaster in steps:
            old = _upcast(event, step, upcaster, old)
        # Back to JSON, so that an old record meets exactly the rules that a new one meets (strict mode
        # accepts more from JSON than from Python objects).
        try:
            new = to_json(old)
        except PydanticSerializationError as error:
            raise InvalidEvent(
                f"the upcasters of {event.__event_name__} answered what is no JSON: {error}"
            ) from error
        return validate_json(new)  # type: ignore[no-any-return]

    return decode


def _upcast(event: type[Event], version: int, upcaster: Upcaster, old: object) -> object:
    if not isinstance(old, dict):
        raise InvalidEvent(f"the JSON is no {event.__event_name__}: it is not an object (got {shorten(old)})")
    try:
        return upcaster(old)
    except Exception as error:
        raise InvalidEvent(
            f"the upcaster of {event.__event_name__} from version {version} failed on this record: {error!r}"
        ) from error
