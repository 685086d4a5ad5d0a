"""Reads one replica after the other, and believes only what it can prove to come from it.

A client in a rack reads the in-sync replica of that rack. It goes back to the leader whenever it likes:
when the replica has fallen behind, when it does not keep the offset, when its broker is gone. What comes
from anywhere but the replica is set apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Generic, TypeVar

from confluent_kafka import Consumer, KafkaError
from confluent_kafka import TopicPartition as ClientPartition

from holdfast.kafka.errors import mapped
from holdfast.kafka.reader import reader_settings
from holdfast.kafka.replicas.origin import FetchWitness, answered
from holdfast.kafka.settings import Properties, consumer_config
from holdfast.record import Message, TopicPartition

GROUP = "holdfast-replicas"
"""Group name of the readers; they never join and never commit."""

_BATCH = 500
_WAIT_S = 0.25

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


class ReplicaReader(Generic[T]):
    """Reads partitions from the brokers of one rack, one partition after the other, each once.

    Args:
        bootstrap_servers: `host:port` of some brokers, separated by commas.
        rack: whose replicas; None reads leaders.
        properties: the user's own client properties.
        take: what to keep of a record.
        patience: seconds without any progress after which a replica counts as silent.

    Raises:
        ClusterError: the client refuses the properties.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        rack: str | None,
        properties: Properties | None,
        take: Callable[[Message], T],
        *,
        patience: float,
    ) -> None:
        self._take = take
        self._patience = patience
        self._witness = FetchWitness()
        settings = _settings(bootstrap_servers, rack, properties)
        with mapped("starting a reader of replicas"):
            self._client = Consumer({**settings, "logger": self._witness})
        self._place: TopicPartition | None = None
        self._broker = -1
        self._position = 0
        self._waited = 0.0
        self._pending: list[Any] = []

    def open(self, place: TopicPartition, broker: int, offset: int) -> None:
        """Begin to read a partition, meaning the replica of this broker.

        Ask for a partition once only: what the client's log says of it could else be of an earlier time.
        """
        if self._place is not None:
            self._witness.forget(self._place)
        self._place, self._broker, self._position = place, broker, offset
        self._waited = 0.0
        self._pending = []
        with mapped(f"reading {place}"):
            self._client.assign([ClientPartition(*place, offset)])

    def close(self) -> None:
        """Let go of the client."""
        with mapped("closing a reader of replicas"):
            self._client.close()

    def read(self) -> Batch[T]:
        """Wait a moment for records of the open partition; the batch may be empty.

        Raises:
            ClusterError: the client cannot go on.
        """
        place = self._place
        assert place is not None, "no partition is open"
        began = time.monotonic()
        if not self._pending:
            with mapped(f"reading {place}"):
                self._pending = self._client.consume(_BATCH, _WAIT_S)
        batch = self._sort(place)
        # Only the time in here counts: other replicas may be read for long in between.
        self._waited = 0.0 if batch.position > self._position else self._waited + time.monotonic() - began
        self._position = batch.position
        if batch.stop is None and self._waited > self._patience:
            text = f"nothing came for {self._patience:.0f} s"
            return replace(batch, stop=Stop(Trouble.SILENT, batch.position, text))
        return batch

    def _sort(self, place: TopicPartition) -> Batch[T]:
        """Take what is pending, up to where it stops coming from the replica or begins to."""
        records: list[tuple[int, T]] = []
        position, foreign, newest = self._position, None, -1
        for index, message in enumerate(self._pending):
            if TopicPartition(message.topic(), message.partition()) != place:
                continue
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                stop = self._stop(place, error, message.offset(), position)
                if stop is not None:
                    self._pending = []
                    return Batch(records, position, foreign, newest, stop)
                continue
            offset = message.offset()
            origin = answered(error.str()) if error else self._witness.served(place, offset)
            end = offset if error else offset + 1
            if end <= position and error:
                continue
            if origin == self._broker:
                position = max(position, end)
                if error is None:
                    records.append((offset, self._take(message)))
            elif records:
                # Comes first in the next batch.
                self._pending = self._pending[index:]
                return Batch(records, position)
            else:
                position = foreign = max(position, end)
                newest = newest if error else max(newest, message.timestamp()[1])
        self._pending = []
        return Batch(records, position, foreign, newest)

    def _stop(self, place: TopicPartition, error: KafkaError, offset: int, position: int) -> Stop | None:
        """What an error means; None for one that the client gets over by itself."""
        code, text = error.code(), error.str()
        at = offset if offset >= 0 else position
        if code in _PASSING:
            return None
        if code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            return Stop(Trouble.GONE, position, text)
        origin = self._witness.faulty(place) if code in _UNREADABLE else answered(text)
        if origin != self._broker and code not in _FORBIDDEN:
            return Stop(Trouble.ELSEWHERE, at, f"another broker answers in its place, with an error: {text}")
        return Stop(Trouble.CORRUPT if code in _DAMAGED else Trouble.REFUSED, at, text)


def _settings(bootstrap_servers: str, rack: str | None, properties: Properties | None) -> dict[str, Any]:
    settings = reader_settings(consumer_config(bootstrap_servers, GROUP, properties))
    settings.pop("client.rack", None)
    if rack is not None:
        settings["client.rack"] = rack
    return settings | {
        # Aborted records are on disk like all others.
        "isolation.level": "read_uncommitted",
        "check.crcs": True,
        # What `FetchWitness` listens to; a level of the user's own would hide it.
        "debug": "fetch",
        "log_level": 7,
        # Several readers share the memory; one that had filled its part would rest for a second.
        "queued.max.messages.kbytes": 16_384,
        "fetch.queue.backoff.ms": 20,
    }
