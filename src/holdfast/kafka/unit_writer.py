"""A unit as it is written: what is handed over, how it ends, and what writes it.

`begin` opens a unit and `send` hands records to the client, again and again and without waiting, on the
thread that owns the unit: records travel while later ones are still being worked on. `finish` waits for the
brokers and may run on another thread meanwhile: that is what lets the next unit be worked on during a commit.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from threading import Thread
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException, Producer

from holdfast.errors import ClusterError, OutputRefused
from holdfast.kafka.errors import translate
from holdfast.kafka.serving import flush
from holdfast.record import Output, TopicPartition

log = logging.getLogger(__name__)

_ANY_PARTITION = -1
_POLL_WHEN_FULL_S = 0.05


class Outcome(Enum):
    """How a unit ended.

    All but `COMMITTED`, `ABORTED` and `REFUSED` leave the client unusable until `reopen`. `REFUSED` is
    aborted, and would be again: the brokers do not take one of its records. After `GIVEN_UP` nothing is
    committed, though its transaction may be open until then.
    """

    COMMITTED = "committed"
    ABORTED = "aborted"
    REFUSED = "refused"
    GIVEN_UP = "given up"
    FENCED = "fenced"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Ending:
    """The outcome of a unit, and for all but a commit the reason.

    Attributes:
        outcome: how it ended.
        reason: what the client said.
        refused: what the brokers do not take, after `REFUSED`; None if they refuse it for its topic, and as
            long as the topic is unknown: of the next units the client is asked in more detail.
        changelog_ends: for each changelog partition written to, the offset after the last
            change; complete only for a commit.
    """

    outcome: Outcome
    reason: str = ""
    changelog_ends: Mapping[TopicPartition, int] | None = None
    refused: OutputRefused | None = None


@dataclass(frozen=True, slots=True)
class ChangelogRows:
    """Encoded changes for one changelog partition; a value of None deletes the key."""

    place: TopicPartition
    rows: list[tuple[bytes, bytes | None]]


class OffsetCommitter(Protocol):
    """Commits offsets outside a transaction."""

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Commit offsets and wait for the answer."""


class UnitWriter(Protocol):
    """Writes one unit after another."""

    def begin(self) -> None:
        """Open a unit."""

    def send(self, outputs: Iterable[Output], changelog: Iterable[ChangelogRows] = ()) -> None:
        """Hand records of the open unit to the client."""

    def finish(self, positions: Mapping[TopicPartition, int], group_metadata: Any) -> Ending:
        """End the open unit; blocks, and may run on another thread."""

    def stop_waiting(self, *, is_late: bool = False) -> Ending | None:
        """Give up the end that `finish` waits for, if it may never come and nothing is committed by it then.

        To be called again and again while `finish` waits. If this returns an ending, what `finish` returns
        later no longer counts.

        Args:
            is_late: the time for the unit is over: give it up whatever it waits for, if that is possible.
        """

    def conclude(self, ending: Ending, positions: Mapping[TopicPartition, int]) -> Ending:
        """Do what is left after `finish`, on the thread that owns the consumer."""

    def abandon(self) -> Ending:
        """Give up the open unit; blocks."""

    def reopen(self) -> None:
        """Replace the client after an outcome that left it unusable."""

    def close(self) -> None:
        """Let go of the client; an open transaction is left to the broker or to the next owner."""


DeliveryReport = Callable[[KafkaError | None, Any], None]
"""Told what became of a record. Each takes the interpreter's lock, on whatever thread waits for the client: a
unit of many thousand records takes notably longer if all of them are reported."""


class ClientWriter:
    """What both guarantees share: the client, its queue, and the ends of changelogs.

    `_report` is told about every record that is handed over; None where nobody asks.
    """

    def __init__(self, settings: Mapping[str, Any], timeout: float) -> None:
        self._settings = dict(settings)
        self._timeout = timeout
        self._ends: dict[TopicPartition, int] = {}
        self._report: DeliveryReport | None = None
        self._client = self._connect()

    def _connect(self) -> Producer:
        try:
            return Producer(self._settings)
        except KafkaException as error:
            raise translate(error, "starting the producer") from error

    def send(self, outputs: Iterable[Output], changelog: Iterable[ChangelogRows] = ()) -> None:
        """Hand records of the open unit to the client.

        Raises:
            ClusterError: the client takes no records.
        """
        produce: Any = self._client.produce
        report, topic = self._report, ""
        try:
            for topic, value, key, timestamp, headers in outputs:
                try:
                    produce(topic, value, key, _ANY_PARTITION, report, None, timestamp, headers)
                except BufferError:
                    self._retry(topic, value, key, _ANY_PARTITION, report, None, timestamp, headers)
            for part in changelog:
                topic = part.place.topic
                self._hand_over(part, report)
        except KafkaException as error:
            self._not_taken(topic, error)

    def _hand_over(self, part: ChangelogRows, report: DeliveryReport | None) -> None:
        produce: Any = self._client.produce
        topic, partition = part.place
        for key, value in part.rows[:-1]:
            try:
                produce(topic, value, key, partition, report)
            except BufferError:
                self._retry(topic, value, key, partition, report)
        # The last record always asks for its delivery report: the checkpoint needs its offset.
        for key, value in part.rows[-1:]:
            self._retry(topic, value, key, partition, self._note_end)

    def _not_taken(self, topic: str, error: KafkaException) -> None:
        """The client does not take a record; what was to follow it was not handed over.

        Raises:
            ClusterError: unless the end of the unit tells it.
        """
        raise translate(error, f"writing to {topic}") from error

    def _retry(self, *record: Any) -> None:
        """Produce when the client's queue has room again, within the writer's timeout."""
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                self._client.produce(*record)
            except BufferError:
                if time.monotonic() > deadline:
                    raise ClusterError(
                        f"the send queue stayed full for {self._timeout:.0f} s while writing to {record[0]}: "
                        "the brokers take nothing; check that the topic's leaders are up"
                    ) from None
                self._client.poll(_POLL_WHEN_FULL_S)
            else:
                return

    def _note_end(self, error: KafkaError | None, message: Any) -> None:
        if error is None:
            self._ends[TopicPartition(message.topic(), message.partition())] = message.offset() + 1

    def _discard(self) -> None:
        client = self._client
        try:
            client.purge()
            flush(client, 0.0)
        except KafkaException as error:
            log.debug("discarding a producer: %s", error)

    def reopen(self) -> None:
        """Replace the client."""
        self._discard()
        gone = [self._client]
        self._client = self._connect()
        end_aside(gone)

    def close(self) -> None:
        """Let go of the client."""
        self._discard()


def end_aside(gone: list[Producer]) -> None:
    """End clients on a thread of their own: that waits for all of their threads.

    Args:
        gone: the clients, to which nobody else may hold a reference; it is empty in the end.
    """
    Thread(target=gone.clear, name="ending a client", daemon=True).start()
