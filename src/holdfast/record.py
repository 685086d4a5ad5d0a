"""Records: their places, the shape in which they are fetched, and the shape in which they are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

Headers = tuple[tuple[str, bytes | None], ...]
"""Record headers in the order in which they were written; names may repeat."""


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"


class Position(NamedTuple):
    """One record's place: topic, partition and offset."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"


class Message(Protocol):
    """One fetched record, read lazily.

    It is the shape of the Kafka client's own message, so that the hot loop needs
    no object of ours per record. A simulation supplies the same calls.
    """

    def key(self) -> bytes | None:
        """The key's bytes."""

    def value(self) -> bytes | None:
        """The value's bytes; None is a tombstone."""

    def headers(self) -> list[tuple[str, bytes]] | None:
        """The headers in order, None when there are none."""

    def offset(self) -> int:
        """The offset inside its partition."""

    def topic(self) -> str:
        """The topic."""

    def partition(self) -> int:
        """The partition."""

    def timestamp(self) -> tuple[int, int]:
        """Kind of timestamp, and milliseconds since the epoch."""


class Output(NamedTuple):
    """One record to be written.

    Attributes:
        topic: where it goes; the partition follows from the key.
        value: its bytes; None is a tombstone.
        key: its key's bytes.
        timestamp: milliseconds since the epoch.
        headers: its headers.
    """

    topic: str
    value: bytes | None
    key: bytes | None
    timestamp: int
    headers: Sequence[tuple[str, str | bytes | None]]


def known_as(message: Message) -> Position:
    """The place by which systems outside know a record: a redriven one is still the record that it was."""
    known: Position | None = getattr(message, "known_as", None)
    return known or Position(message.topic(), message.partition(), message.offset())


class Write(NamedTuple):
    """Something that is to be written to a sink.

    Attributes:
        message: the record that it was made from.
        value: what the handler returned; which classes are possible is the sink's to say.
    """

    message: Message
    value: Any

    @property
    def position(self) -> Position:
        """The record's place; writes of one record share it."""
        return Position(self.message.topic(), self.message.partition(), self.message.offset())
