"""The topic that says how far shards are written: one for each group, with a partition for each shard.

Partition n is written by the owner of shard n alone. So all that stands before its own records there is
settled: no transaction of somebody else can be open among it. And the newest record says everything, so the
end of a partition is all that has to be read, however long it has grown.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from holdfast.errors import BrokersUnreachable, SinkError
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.reader import PartitionReader, reader_settings
from holdfast.kafka.settings import Properties, consumer_config
from holdfast.record import Message, TopicPartition
from holdfast.sinks.kafka.standing import Standing, read_standing
from holdfast.topology.spec import TopicSpec, durable

STANDING_KEY: Final = b"standing"
"""The key of the records that say how far a shard is written."""

CLAIM_KEY: Final = b"claim"
"""The key of a record that an owner begins with: what stands before it is all that there was."""

_READ_FIRST: Final = 32
"""Offsets that are read at first: a transaction takes two or three, and an aborted one is passed over."""

_READ_MORE: Final = 16
"""By what that grows while nothing is found."""

_POLICY: Final = "cleanup.policy"
_CONFIG: Final[Mapping[str, str]] = {
    _POLICY: "compact",
    # Only the last record counts; files that are full can be compacted.
    "segment.bytes": str(16 * 1024 * 1024),
}
_GROUP: Final = "holdfast-positions"
"""Group name of the reader; it never joins and never commits."""

_QUIET: Final[Mapping[str, Any]] = {"log_level": 3}
_MOST: Final = 1_000
_WAIT_S: Final = 0.1
_CALL_S: Final = 5.0


class PositionTopic:
    """The positions of one group.

    Args:
        name: the topic's.
        servers: the brokers.
        properties: the user's own client properties.

    Raises:
        SettingError: a property would break a guarantee.
    """

    def __init__(self, name: str, servers: str, properties: Properties) -> None:
        self.name = name
        self._servers = servers
        # It would warn of every property that is a producer's.
        self._settings = {**reader_settings(consumer_config(servers, _GROUP, properties)), **_QUIET}
        self._known = 0

    def place(self, number: int) -> TopicPartition:
        """Where the positions of a shard are."""
        return TopicPartition(self.name, number)

    def forget(self) -> None:
        """Look at the topic again before it is used next."""
        self._known = 0

    def ensure(self, shards: Collection[int], admin: TopicAdmin) -> None:
        """Have the topic, with a partition for each of some shards.

        More partitions move nothing: which one a shard has is not for its key to say.

        Raises:
            SinkError: there is a topic of that name which would lose positions.
            ClusterError: it cannot be looked at, created or grown.
        """
        wanted = max(shards) + 1
        if self._known >= wanted:
            return
        found = admin.topics([self.name]).get(self.name)
        if found is None:
            copies = min(3, max(admin.broker_count(), 1))
            spec = TopicSpec(self.name, wanted, copies, {**_CONFIG, **durable(copies)})
            admin.create([spec])
            # Somebody else may have been quicker.
            found = admin.topics([self.name]).get(self.name)
            if found is None:
                raise BrokersUnreachable(
                    f"topic {self.name} was created on {self._servers}, and is not known yet"
                )
        if found.spec.config.get(_POLICY) != "compact":
            raise SinkError(
                f"topic {self.name} on {self._servers} keeps the inputs' positions, and has {_POLICY}="
                f"{found.spec.config.get(_POLICY)}, which deletes them in time: set {_POLICY}=compact"
            )
        if found.spec.partitions < wanted:
            admin.grow(self.name, wanted)
        self._known = max(found.spec.partitions, wanted)

    @contextlib.contextmanager
    def looked_at(self) -> Iterator[PositionReader]:
        """Read it inside of the block.

        Raises:
            ClusterError: the client refuses the properties.
        """
        with contextlib.closing(PartitionReader(self._settings)) as reader:
            yield PositionReader(self.name, reader)


class PositionReader:
    """Reads how far shards are written.

    Args:
        name: of the topic.
        reader: reads it.
    """

    def __init__(self, name: str, reader: PartitionReader) -> None:
        self._name = name
        self._reader = reader

    def newest(self, ends: Mapping[int, int | None], until: float) -> dict[int, Standing]:
        """How far shards are written.

        Args:
            ends: for each shard, the offset below which to look; all of it has to be read. With None, as far
                as records are committed at present.
            until: when to give up, on the monotonic clock.

        Raises:
            SinkError: something else is in the topic.
            ClusterError: it cannot be read, or not in time.
        """
        if not ends:
            return {}
        bounds = {
            number: self._reader.bounds(self._place(number), max(min(until - time.monotonic(), _CALL_S), 0.1))
            for number in ends
        }
        begins = {number: begin for number, (begin, _) in bounds.items()}
        to = {number: bounds[number][1] if end is None else end for number, end in ends.items()}
        found: dict[int, Standing] = {}
        reach = _READ_FIRST
        left = {number for number in ends if begins[number] < to[number]}
        while left:
            starts = {number: max(begins[number], to[number] - reach) for number in left}
            records = self._read(starts, to, until)
            for number, record in records.items():
                found[number] = read_standing(record.value(), f"{self._place(number)}@{record.offset()}")
            left = {n for n in left if n not in found and starts[n] > begins[n]}
            reach *= _READ_MORE
        return {number: found.get(number, Standing()) for number in ends}

    def _read(self, starts: Mapping[int, int], to: Mapping[int, int], until: float) -> dict[int, Message]:
        """The newest standing of each shard from some offsets up to others."""
        newest: dict[int, Message] = {}
        reached = dict(starts)
        self._reader.start({self._place(number): offset for number, offset in starts.items()})
        while reached:
            if time.monotonic() > until:
                raise BrokersUnreachable(
                    f"reading the positions in {self._name}: not in time. Check that the brokers run, and "
                    "that each partition of the topic has a leader."
                )
            records, ends = self._reader.read(_MOST, _WAIT_S)
            for record in records:
                number, offset = record.partition(), record.offset()
                if number in reached:
                    reached[number] = offset + 1
                    if offset < to[number] and record.key() == STANDING_KEY:
                        newest[number] = record
            for place, end in ends.items():
                if place.partition in reached:
                    reached[place.partition] = max(reached[place.partition], end)
            done = [number for number, offset in reached.items() if offset >= to[number]]
            self._reader.stop([self._place(number) for number in done])
            for number in done:
                del reached[number]
        return newest

    def _place(self, number: int) -> TopicPartition:
        return TopicPartition(self._name, number)
