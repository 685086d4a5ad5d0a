"""What a client handed out, sorted by whether it came from the replica that was meant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from confluent_kafka import KafkaError

from holdfast.kafka.replicas.origin import FetchWitness, answered
from holdfast.record import Message, TopicPartition

_PASSING = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._MAX_POLL_EXCEEDED,
    }
)
_FORBIDDEN = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._AUTHENTICATION,
        KafkaError._FATAL,
    }
)
"""What every broker would answer."""

_UNREADABLE = frozenset(
    {
        KafkaError._BAD_MSG,
        KafkaError._BAD_COMPRESSION,
        KafkaError._NOT_IMPLEMENTED,
        KafkaError.MSG_SIZE_TOO_LARGE,
    }
)
"""What the client says of records that it got and cannot read."""

_DAMAGED = frozenset({KafkaError._BAD_MSG, KafkaError._BAD_COMPRESSION, KafkaError.INVALID_MSG})

T = TypeVar("T")


class Trouble(Enum):
    """Why a replica cannot be read on."""

    CORRUPT = "corrupt"
    GONE = "gone"
    """The offset was deleted in the meantime."""
    REFUSED = "refused"
    ELSEWHERE = "elsewhere"
    """The trouble is with another broker, which answered in place of the replica's."""
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Stop:
    """A replica cannot be read beyond an offset.

    Attributes:
        trouble: the kind.
        offset: where.
        text: what the client said.
    """

    trouble: Trouble
    offset: int
    text: str


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """What one call to `read` found.

    Attributes:
        records: those that were proven to come from the replica, in order, by offset.
        position: everything before it was passed.
        foreign: the offset after the last one that came from another broker, or from nobody knows where;
            None if there was none. It precedes `records`: a batch ends before a change back.
        foreign_time: the newest timestamp of such records, milliseconds since the epoch.
        stop: why nothing more can be read.
    """

    records: list[tuple[int, T]]
    position: int
    foreign: int | None = None
    foreign_time: int = -1
    stop: Stop | None = None


@dataclass(frozen=True, slots=True)
class Sorter(Generic[T]):
    """Sorts what a client handed out.

    Attributes:
        place: the partition that is read; what is left of others is dropped.
        broker: whose replica is meant.
        witness: knows where records came from.
        take: what to keep of a record.
    """

    place: TopicPartition
    broker: int
    witness: FetchWitness
    take: Callable[[Message], T]

    def sort(self, messages: list[Any], position: int) -> tuple[Batch[T], list[Any]]:
        """A batch, up to where messages stop coming from the replica, and the messages after that.

        Args:
            messages: records and errors in the order of the client.
            position: everything before it was passed.
        """
        records: list[tuple[int, T]] = []
        foreign, newest = None, -1
        for index, message in enumerate(messages):
            if TopicPartition(message.topic(), message.partition()) != self.place:
                continue
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                stop = self._stop(error, message.offset(), position)
                if stop is not None:
                    return Batch(records, position, foreign, newest, stop), []
                continue
            end = message.offset() + (error is None)
            if end <= position:
                continue
            if self._is_ours(error, message.offset()):
                position = end
                if error is None:
                    records.append((message.offset(), self.take(message)))
            elif records:
                # Comes first in the next batch.
                return Batch(records, position, foreign, newest), messages[index:]
            else:
                position = foreign = end
                newest = newest if error else max(newest, message.timestamp()[1])
        return Batch(records, position, foreign, newest), []

    def _is_ours(self, end: KafkaError | None, offset: int) -> bool:
        """Whether a record, or the report of the partition's end, came from the replica's broker."""
        origin = self.witness.served(self.place, offset) if end is None else answered(end.str())
        return origin == self.broker

    def _stop(self, error: KafkaError, offset: int, position: int) -> Stop | None:
        """What an error means; None for one that the client gets over by itself."""
        code, text = error.code(), error.str()
        at = offset if offset >= 0 else position
        if code in _PASSING:
            return None
        if code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            return Stop(Trouble.GONE, position, text)
        origin = self.witness.faulty(self.place) if code in _UNREADABLE else answered(text)
        if origin != self.broker and code not in _FORBIDDEN:
            return Stop(Trouble.ELSEWHERE, at, f"another broker answers in its place, with an error: {text}")
        return Stop(Trouble.CORRUPT if code in _DAMAGED else Trouble.REFUSED, at, text)
