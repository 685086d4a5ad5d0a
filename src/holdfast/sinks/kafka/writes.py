"""What a handler returns for a Kafka sink."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from holdfast.errors import HandlerError

HeaderValue = str | bytes | None


@dataclass(frozen=True, slots=True)
class KafkaRecord:
    """A record for a topic of the other cluster.

    Attributes:
        topic: where it goes; the partition follows from the key, as everywhere in Holdfast.
        key: text (UTF-8), bytes, or what else can be the key of a topic: a whole number, a UUID, a date; None
            is no key.
        value: bytes, text (UTF-8), or an event, which is written as on Holdfast's own topics: as JSON, with
            its type as a header. None is a tombstone.
        headers: by name, or pairs in their order.
        timestamp: milliseconds since the epoch; that of the record it was made from, unless given.

    Raises:
        HandlerError: a topic, value or timestamp is none.
    """

    topic: str
    key: Any
    value: bytes | str | BaseModel | None
    headers: Mapping[str, HeaderValue] | Sequence[tuple[str, HeaderValue]] = ()
    timestamp: int | None = None

    def __post_init__(self) -> None:
        topic: object = self.topic
        if not isinstance(topic, str) or not topic:
            raise HandlerError(f"a KafkaRecord goes to a topic, by its name, not {topic!r}")
        if not (self.value is None or isinstance(self.value, (bytes, str, BaseModel))):
            raise HandlerError(
                f"the value of a KafkaRecord is bytes, text, an event, or None for a tombstone, not "
                f"{type(self.value).__name__}; encode it in the handler"
            )
        if self.timestamp is not None and (type(self.timestamp) is not int or self.timestamp < 0):
            raise HandlerError(
                f"the timestamp of a KafkaRecord is milliseconds since the epoch, a whole number, not "
                f"{self.timestamp!r}"
            )
