"""The workload's handler on records: bytes in, state before; records out, state after."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Message

from holdfast.chaos.clients.loop.orders import LoopOrders
from holdfast.schema import EventDecoder, TopicEncoder, ValueCodec


@dataclass(frozen=True, slots=True)
class Made:
    """A record to be written."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, str | bytes | None]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an input stands: what handlers know as their context."""

    topic: str
    partition: int
    offset: int


@dataclass(slots=True)
class Value:
    """The state of one key, as handlers use it."""

    now: Any

    def get(self) -> Any:
        """The state; None if there is none."""
        return self.now

    def set(self, value: Any) -> None:
        """Replace it."""
        self.now = value


class Job:
    """A workload's handler, with what it reads and writes.

    Args:
        orders: name all of it.

    Attributes:
        codec: writes and reads states.
    """

    def __init__(self, orders: LoopOrders) -> None:
        self._handle: Callable[..., Any] = named(orders.handler)
        self.codec: ValueCodec[Any] = ValueCodec(named(orders.state))
        self._decoders = {one.topic: EventDecoder((named(one.event),)) for one in orders.inputs}
        self._encoders: dict[type, TopicEncoder] = {}
        for one in orders.outputs:
            event = named(one.event)
            self._encoders[event] = TopicEncoder(one.topic, (event,), one.key)

    def apply(self, message: Message, before: Any) -> tuple[Sequence[Made], Any]:
        """Handle a record: what it makes, and the state of its key after it."""
        place = Place(message.topic() or "", message.partition() or 0, message.offset() or 0)
        decode: Callable[..., Any] = self._decoders[place.topic].decode
        event = decode(message.value(), message.headers(), message.key())
        value = Value(before)
        made = self._handle(event, value, place)
        outputs = made if isinstance(made, list) else [made]
        return [self._encoded(output) for output in outputs], value.now

    def _encoded(self, event: Any) -> Made:
        encoder = self._encoders[type(event)]
        key, value, headers = encoder.encode(event)
        return Made(encoder.topic, key, value, [*headers])


def named(reference: str) -> Any:
    """What module:name refers to."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
