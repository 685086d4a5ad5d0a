"""What a handler may know about the record in its hands."""

from __future__ import annotations

from holdfast.record import Headers, Message, Position


class Context:
    """The record behind the event: its place, time, key and headers.

    One object serves a whole shard and is bound to each record in turn, so it is
    valid only until the handler returns. Values are read on demand.
    """

    __slots__ = ("_fence", "_message", "_partition", "_topic")

    _message: Message
    _topic: str

    def __init__(self, partition: int, fence: int = 0) -> None:
        self._partition = partition
        self._fence = fence

    @property
    def topic(self) -> str:
        """The input that the record is of; also when it is a dead letter that was redriven."""
        return self._topic

    @property
    def partition(self) -> int:
        """The partition that the record was read from, which is the shard's number."""
        return self._partition

    @property
    def offset(self) -> int:
        """The record's offset."""
        return self._message.offset()

    @property
    def position(self) -> Position:
        """Topic, partition and offset; unique, so it may serve as an idempotency key.

        That of a redriven record is its place in the topic of redriven ones.
        """
        return Position(self._message.topic(), self._partition, self._message.offset())

    @property
    def fencing_token(self) -> int:
        """The number of this ownership of the shard: a later owner always has a larger one.

        For a system outside that must refuse what an owner of yesterday still sends: it keeps the largest
        token that it has seen of a shard (`partition`), and refuses a smaller one. A token serves as long as
        the shard stays with this worker, and is never used again after that.
        """
        return self._fence

    @property
    def key(self) -> bytes | None:
        """The record's key."""
        return self._message.key()

    @property
    def timestamp(self) -> int:
        """The record's timestamp, milliseconds since the epoch: event time."""
        return self._message.timestamp()[1]

    @property
    def headers(self) -> Headers:
        """The record's headers."""
        return tuple(self._message.headers() or ())
