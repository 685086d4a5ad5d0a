"""Event contracts: base class, codecs and evolution.

- `event`: `Event`, `Tombstone`, names and versions on the wire
- `decode`: bytes to events, `EventDecoder`
- `encode`, `keys`: events to bytes, `TopicEncoder`
- `values`: values of state tables, `ValueCodec`
- `explain`: short texts for validation errors
"""

from __future__ import annotations

from holdfast.schema.decode import EventDecoder
from holdfast.schema.encode import ClassEncoder, Encoded, TopicEncoder, WireHeaders
from holdfast.schema.event import TYPE_HEADER, Event, Tombstone, check_event_class, wire_type
from holdfast.schema.keys import KEY_TYPES, encode_key, may_be_key
from holdfast.schema.values import ValueCodec, check_value_type

__all__ = [
    "KEY_TYPES",
    "TYPE_HEADER",
    "ClassEncoder",
    "Encoded",
    "Event",
    "EventDecoder",
    "Tombstone",
    "TopicEncoder",
    "ValueCodec",
    "WireHeaders",
    "check_event_class",
    "check_value_type",
    "encode_key",
    "may_be_key",
    "wire_type",
]
