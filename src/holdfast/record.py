"""Values that name a place in a topic, and a record read from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

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


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it was read, nothing decoded.

    Attributes:
        position: where it was read.
        key: the key's bytes, or None.
        value: the value's bytes, or None for a tombstone.
        timestamp: milliseconds since the epoch.
        headers: the record's headers.
    """

    position: Position
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Headers = ()
