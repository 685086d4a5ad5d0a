"""From what handlers return to the records that are sent; what cannot be one is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel

from holdfast.errors import EventRefused, SinkRefused
from holdfast.record import Message, Output
from holdfast.schema import TYPE_HEADER, Event, encode_key, wire_type
from holdfast.schema.strict import UNWRITABLE
from holdfast.sinks.kafka.writes import KafkaRecord

_OVERHEAD: Final = 36
"""Bytes that the client counts for a record beside its key, value and headers."""

_Header = tuple[str, str | bytes | None]


class Encoder:
    """Encodes for one sink.

    Args:
        most_bytes: what a record may have; the client takes no larger one.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._types: dict[type[BaseModel], tuple[_Header, ...]] = {}

    def encode(self, record: KafkaRecord, message: Message) -> Output:
        """The record for what a handler returned.

        Args:
            record: what it returned.
            message: what it returned it for.

        Raises:
            SinkRefused: it cannot be one: too large, or not encodable.
        """
        try:
            key = None if record.key is None else encode_key(record.key)
            value = self._value(record.value)
            headers = self._headers(record)
        except (EventRefused, UnicodeError, *UNWRITABLE) as error:
            raise SinkRefused(f"it cannot be a record of topic {record.topic!r}: {error}") from error
        size = len(key or b"") + len(value or b"") + _OVERHEAD + sum(map(_size, headers))
        if size > self._most_bytes:
            raise SinkRefused(
                f"topic {record.topic!r} takes nothing so large: it has {size:,} bytes, and "
                f"`message.max.bytes` of the sink (below its `kafka`) is {self._most_bytes:,}"
            )
        time = message.timestamp()[1] if record.timestamp is None else record.timestamp
        return Output(record.topic, value, key, max(time, 0), headers)

    def _value(self, value: bytes | str | BaseModel | None) -> bytes | None:
        if value is None or type(value) is bytes:
            return value
        if isinstance(value, BaseModel):
            return value.__pydantic_serializer__.to_json(value)
        return value.encode() if isinstance(value, str) else bytes(value)

    def _headers(self, record: KafkaRecord) -> Sequence[_Header]:
        headers = record.headers
        given = list(headers.items() if isinstance(headers, Mapping) else headers)
        for header in given:
            _check(header, record.topic)
        return [*self._type_of(record.value), *given] if isinstance(record.value, Event) else given

    def _type_of(self, event: Event) -> tuple[_Header, ...]:
        kind = type(event)
        if kind not in self._types:
            self._types[kind] = ((TYPE_HEADER, wire_type(kind)),)
        return self._types[kind]


def _check(header: Any, topic: str) -> None:
    name, value = header
    if not isinstance(name, str) or not (value is None or isinstance(value, (str, bytes))):
        raise SinkRefused(
            f"a header of a record for topic {topic!r} is a name with text, bytes or None, not "
            f"{name!r}: {value!r}"
        )


def _size(header: _Header) -> int:
    name, value = header[0].encode(), header[1]
    length = 0 if value is None else len(value.encode() if isinstance(value, str) else value)
    return _number(len(name)) + len(name) + _number(length) + length


def _number(value: int) -> int:
    """Bytes of a number as Kafka writes lengths: seven bits in each, and one for the sign."""
    return ((2 * value).bit_length() + 6) // 7 or 1
