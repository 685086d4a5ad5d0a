"""A record in memory, in the shape of a fetched one."""

from __future__ import annotations

TIMESTAMP_CREATE_TIME = 1
"""The client's code for a timestamp that the producer set."""


class MemoryMessage:
    """A record that was written in memory and can be handed to the engine; a `holdfast.record.Message`.

    Args:
        topic: where it stands.
        partition: the same.
        offset: the same.
        key: the key's bytes.
        value: the value's bytes; None is a tombstone.
        timestamp: milliseconds since the epoch.
        headers: the record's headers.
    """

    __slots__ = ("_headers", "_key", "_offset", "_partition", "_timestamp", "_topic", "_value")

    def __init__(
        self,
        topic: str,
        partition: int,
        offset: int,
        *,
        key: bytes | None,
        value: bytes | None,
        timestamp: int = 0,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._offset = offset
        self._key = key
        self._value = value
        self._timestamp = timestamp
        self._headers = headers

    def topic(self) -> str:
        """The topic."""
        return self._topic

    def partition(self) -> int:
        """The partition."""
        return self._partition

    def offset(self) -> int:
        """The offset inside its partition."""
        return self._offset

    def key(self) -> bytes | None:
        """The key's bytes."""
        return self._key

    def value(self) -> bytes | None:
        """The value's bytes; None is a tombstone."""
        return self._value

    def headers(self) -> list[tuple[str, bytes]] | None:
        """The headers in order, None when there are none."""
        return self._headers

    def timestamp(self) -> tuple[int, int]:
        """Kind of timestamp, and milliseconds since the epoch."""
        return TIMESTAMP_CREATE_TIME, self._timestamp
