"""The consumer of a worker: group membership for shards, fetched batches, positions.

The group subscribes to the processor's first input only, because the broker-side
and client-side assignors split co-partitioned topics between members. What a shard
reads is assigned here, when its state is restored, and not by the rebalance: so
nothing of a shard is fetched before it may be handled, and a record that comes out
of `fetch` always belongs to the ownership under which it was asked for.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient

from holdfast.errors import ClusterError, Fenced
from holdfast.kafka.errors import LASTING, mapped, translate
from holdfast.kafka.members import GroupQuestion, waits_for_members
from holdfast.kafka.positions import NoteOf, noted
from holdfast.kafka.settings import CONSUMER_PROTOCOL, GROUP_PROTOCOL
from holdfast.record import Message, TopicPartition

log = logging.getLogger(__name__)

_LOG_ERRORS = 3
"""The client's log level for errors and worse."""

_LOST_POSITION = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)
JOIN_PAUSE_S = 1.0
"""The client joins a group at most once in so many seconds when others cause the rebalance; not a setting."""

_FORBIDDEN = (KafkaError.TOPIC_AUTHORIZATION_FAILED,)
_REFUSED = LASTING | {KafkaError.INVALID_SESSION_TIMEOUT, KafkaError.INVALID_GROUP_ID}
"""The client says these once, and asks on for ever; nothing comes of it until a person changes something."""


class OwnershipListener(Protocol):
    """Told about the shards that the group gives to this member and takes from it.

    All calls come from inside `ShardConsumer.fetch` or `close`, on the caller's thread.
    """

    def assigned(self, partitions: list[int]) -> None:
        """These shards are ours from now on."""

    def revoked(self, partitions: list[int]) -> None:
        """These shards go to another member once this call returns; commit what is done."""

    def lost(self, partitions: list[int]) -> None:
        """These shards belong to somebody else already; commit nothing of them."""


@dataclass(slots=True)
class Batch:
    """What one fetch brought.

    Attributes:
        records: records by topic and partition, each list in offset order.
        ends: for partitions that are read to their end, the offset of that end. It lies
            after control records, which are never handed out.
        errors: partitions that cannot be read on, with the reason.
    """

    records: dict[tuple[str, int], list[Message]] = field(default_factory=lambda: defaultdict(list))
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    errors: dict[TopicPartition, ClusterError] = field(default_factory=dict)

    def drop(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget records of partitions that were taken away while the batch was fetched."""
        for place in partitions:
            self.records.pop(place, None)
            self.ends.pop(place, None)
            self.errors.pop(place, None)


class ShardConsumer:
    """A group member that owns shards of one processor.

    Args:
        settings: client settings; group, isolation and assignment settings included.
        topic: the processor's first input, whose partitions stand for the shards.
        listener: told about ownership.

    Attributes:
        rebalanced: when the group last gave or took shards, by `time.monotonic`.

    Raises:
        ClusterError: the client refuses the settings.
    """

    def __init__(self, settings: Mapping[str, Any], topic: str, listener: OwnershipListener) -> None:
        self._topic = topic
        self._listener = listener
        self._owned: set[int] = set()
        self._reading: set[TopicPartition] = set()
        self._stopped: set[TopicPartition] = set()
        self._paused: set[TopicPartition] = set()
        self._broker_error: KafkaError | None = None
        self.rebalanced = time.monotonic()
        self._group_id = str(settings["group.id"])
        self._newcomer: AdminClient | None = None
        with mapped("starting the consumer"):
            self._client = Consumer({**settings, "error_cb": self._note_error})
            if settings.get(GROUP_PROTOCOL) != CONSUMER_PROTOCOL:
                # It would warn of every setting that is a consumer's.
                self._newcomer = AdminClient({**settings, "log_level": _LOG_ERRORS})
                # Only for the connections: the answer of later must not wait for them.
                GroupQuestion(self._newcomer, self._group_id, JOIN_PAUSE_S)
        self._subscribe()

    def _subscribe(self) -> None:
        self._call(
            lambda: self._client.subscribe(
                [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
        )

    def fetch(self, most: int, wait: float) -> Batch:
        """Return what is there, after waiting at most `wait` seconds for a first record.

        Rebalances happen inside this call.

        Raises:
            Fenced: another process took this worker's group instance id.
            ClusterError: the group or a partition can no longer be read.
        """
        self._stopped.clear()
        try:
            # `consume` returns early only when the batch is full, so the first record is
            # waited for alone and the rest is taken as it lies in the queue.
            fetched: list[Any] = self._client.consume(1, wait)
            if fetched:
                fetched += self._client.consume(most - 1, 0)
        except KafkaException as error:
            raise translate(error, f"reading {self._topic}") from error
        if self._broker_error is not None:
            self._raise_fatal(self._broker_error)
        batch = Batch()
        self._sort(fetched, batch)
        if self._stopped:
            batch.drop(self._stopped)
        return batch

    def _sort(self, fetched: list[Any], batch: Batch) -> None:
        """Put fetched records where they belong.

        Records come in runs of one partition, and with a single input the topic's name need
        not be asked for: both save a tenth of the loop's time.
        """
        records = batch.records
        several = len({place.topic for place in self._reading}) > 1
        topic, partition, run = self._topic, -1, []
        for message in fetched:
            if message.error() is not None:
                self._note_end(batch, message)
                continue
            number = message.partition()
            if number != partition or (several and message.topic() != topic):
                partition = number
                topic = message.topic() if several else topic
                run = records[topic, partition]
            run.append(message)

    def start(self, positions: Mapping[TopicPartition, int]) -> None:
        """Begin to read partitions at the given offsets.

        Raises:
            ClusterError: the client refuses.
        """
        self._call(
            self._client.incremental_assign,
            [ClientPartition(p.topic, p.partition, offset) for p, offset in positions.items()],
        )
        self._reading.update(positions)
        paused = self._paused.intersection(positions)
        if paused:
            # A pause outlives an assignment.
            self._paused -= paused
            self._call(self._client.resume, [ClientPartition(*p) for p in paused])

    def stop(self, partitions: Iterable[TopicPartition]) -> None:
        """Read partitions no longer. Those that are not read are left out.

        Raises:
            ClusterError: the client refuses.
        """
        reading = [p for p in partitions if p in self._reading]
        if reading:
            self._reading.difference_update(reading)
            self._stopped.update(reading)
            self._call(self._client.incremental_unassign, [ClientPartition(*p) for p in reading])

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Hand out no more records of partitions, which stay ours until `stop`.

        Safe at any time. `stop` outside of `fetch` is safe only when no shard has uncommitted work:
        if the group is about to take shards and its request waits in the queue, the client takes
        our call for the answer, and gives the shards away before the listener hears of it.

        Raises:
            ClusterError: the client refuses.
        """
        reading = self._reading.intersection(partitions)
        if reading:
            self._paused |= reading
            self._call(self._client.pause, [ClientPartition(*p) for p in reading])

    def resume(self, place: TopicPartition, offset: int) -> None:
        """Read a paused partition on, from `offset`.

        Raises:
            ClusterError: the client refuses.
        """
        self._paused.discard(place)
        self._call(self._client.resume, [ClientPartition(*place)])
        # Paused, the client forgets what it had fetched, but not how far it had handed out.
        self.seek(place, offset)

    def seek(self, place: TopicPartition, offset: int) -> None:
        """Read a partition again from `offset`, of which records have just been fetched.

        Raises:
            ClusterError: the client refuses.
        """
        self._call(self._client.seek, ClientPartition(place.topic, place.partition, offset))

    def group_metadata(self) -> Any:
        """The member's present standing in the group, to fence the commit with (KIP-447).

        Must be asked anew for every commit: it changes with each rebalance.
        """
        return self._client.consumer_group_metadata()

    def commit(self, positions: Mapping[TopicPartition, int], note_of: NoteOf) -> None:
        """Commit offsets outside a transaction, and wait for the answer.

        Args:
            positions: the offsets.
            note_of: what is noted beside them.

        Raises:
            ClusterError: the broker refused, for example since the group moved on.
        """
        offsets = noted(positions, note_of)
        self._call(lambda: self._client.commit(offsets=offsets, asynchronous=False))

    def hand_over(self, timeout: float) -> None:
        """Leave the group, so that others get our shards at once; the listener hears `revoked` for them.

        `close` alone does not: a static member's shards wait for its return until its session has ended.

        Args:
            timeout: seconds to wait for the end of the rebalance.

        Raises:
            ClusterError: the group can no longer be reached.
        """
        self._newcomer = None
        self._call(self._client.unsubscribe)
        deadline = time.monotonic() + timeout
        while self._owned and time.monotonic() < deadline:
            self.fetch(1, 0.05)

    def rejoin(self, timeout: float) -> None:
        """Leave the group and join it again, so that it hands out all shards anew.

        Args:
            timeout: seconds to wait for the end of the first rebalance.

        Raises:
            ClusterError: the group can no longer be reached, or does not take our shards in time.
        """
        self.hand_over(timeout)
        if self._owned:
            # What was fetched meanwhile was dropped: these shards must not go on from there.
            raise ClusterError(
                f"the group has not taken our shards within {timeout:.0f} s, so as to share anew"
            )
        self._subscribe()

    def close(self) -> None:
        """Go, but stay a member until the session ends; the listener hears `revoked` for what is owned."""
        self._newcomer = None
        # Rebalances that nobody asked for yet are heard first: `close` may hang in the answer to one if the
        # group has moved on meanwhile (librdkafka 2.16.0; seen with members unasked for 8 s and more).
        with suppress(KafkaException):
            self._client.consume(1, 0.0)
        self._call(self._client.close)

    @property
    def seconds_to_join(self) -> float:
        """Seconds until every member may join again at once, counted from the last rebalance."""
        return max(self.rebalanced + JOIN_PAUSE_S - time.monotonic(), 0.0)

    def _on_assign(self, client: Consumer, partitions: list[ClientPartition]) -> None:
        newcomer, self._newcomer = self._newcomer, None
        if newcomer is not None and not partitions:
            self._join_with_the_others(newcomer)
        self.rebalanced = time.monotonic()
        # Nothing is fetched yet; without a call of ours the client would start by itself.
        client.incremental_assign([])
        self._owned.update(p.partition for p in partitions)
        self._listener.assigned([p.partition for p in partitions])

    def _join_with_the_others(self, admin: AdminClient) -> None:
        """Join again as soon as the others have given up what is to be ours.

        A newcomer's first rebalance takes shards from the others, and the second hands them out. In between
        they belong to nobody, and the client would not join before a second has passed since the first.
        A subscription that is made inside of this callback is applied at its end, without that pause
        (librdkafka's `rd_kafka_trigger_waiting_subscribe_maybe`).
        """
        try:
            if waits_for_members(admin, self._group_id, JOIN_PAUSE_S):
                self._subscribe()
        except ClusterError as error:
            log.debug("it is only slower without: %s", error)

    def _on_revoke(self, client: Consumer, partitions: list[ClientPartition]) -> None:
        self._give_up(client, partitions, self._listener.revoked)

    def _on_lost(self, client: Consumer, partitions: list[ClientPartition]) -> None:
        self._give_up(client, partitions, self._listener.lost)

    def _give_up(self, client: Consumer, partitions: list[ClientPartition], tell: Any) -> None:
        numbers = {p.partition for p in partitions}
        self.rebalanced = time.monotonic()
        self._owned -= numbers
        try:
            tell(sorted(numbers))
        finally:
            # Also after an error: else the client answers the rebalance by itself, with shards that may not
            # be read yet, and its complaint about these stands where the reason should.
            self.stop([p for p in self._reading if p.partition in numbers])
            # Answers the rebalance even when nothing of these shards was being read.
            client.incremental_unassign([])

    def _note_error(self, error: KafkaError) -> None:
        if error.fatal() or error.code() in (KafkaError.FENCED_INSTANCE_ID, KafkaError._FENCED):
            self._broker_error = error

    def _note_end(self, batch: Batch, message: Any) -> None:
        error = message.error()
        place = TopicPartition(message.topic(), message.partition())
        if error.code() == KafkaError._PARTITION_EOF:
            batch.ends[place] = message.offset()
        elif error.code() in _LOST_POSITION:
            batch.errors[place] = ClusterError(
                f"{place}: the position to read from is no longer in the topic ({error.str()}); records were "
                "deleted before they were handled (retention). Decide where to go on, then reset the group's "
                "offset."
            )
        elif error.code() in _FORBIDDEN and message.topic():
            if place.partition < 0:
                # Nobody knows its partitions without the right to it: no shard will ever come of it.
                raise ClusterError(f"{place.topic}: {error.str()}. Allow this user to read the topic.")
            batch.errors[place] = ClusterError(f"{place}: {error.str()}. Allow this user to read the topic.")
        elif error.code() == KafkaError._FATAL or error.fatal():
            # A message's error never says that it is fatal, except by this code.
            self._raise_fatal(error, self._topic)
        elif error.code() in _REFUSED:
            where = f"reading {place.topic}" if message.topic() else f"joining the group {self._group_id}"
            raise translate(KafkaException(error), where)
        else:
            # The client goes on by itself: a broker is away, or a topic is not known everywhere yet.
            log.warning("%s: %s", place if message.topic() else self._topic, error.str())

    def _raise_fatal(self, error: KafkaError, where: str = "") -> None:
        # A fatal error comes with a code of its own; what it is about is only in its text.
        if (
            error.code() in (KafkaError.FENCED_INSTANCE_ID, KafkaError._FENCED)
            or "fenced" in error.str().lower()
        ):
            raise Fenced(
                f"the group {self._group_id} has another member in this worker's slot: this one must stop. "
                "If a second process was started in the slot, give each worker its own. If not, the brokers "
                "took its own return after an outage for another's, and it starts again by itself"
            )
        raise translate(KafkaException(error), f"reading {where or self._topic}")

    def _call(self, function: Any, *arguments: Any) -> None:
        try:
            function(*arguments)
        except KafkaException as error:
            raise translate(error, f"reading {self._topic}") from error
