"""The application's data on real brokers, decoded: topics as events, changelogs as tables.

`ClusterTopicReader` is what checks of invariants and the looking-at commands read. It sees committed
records only, from any machine, also while workers run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from holdfast.checks import Recorded
from holdfast.declaration.source import did_you_mean
from holdfast.errors import DecodeError, TopologyError
from holdfast.kafka.partitioner import partition_of
from holdfast.kafka.scan import LogScanner
from holdfast.record import Message, Position, TopicPartition
from holdfast.schema import EventDecoder, ValueCodec
from holdfast.topology import ProcessorDecl, ResolvedTopology, Topology

CACHED_RECORDS = 1_000_000
"""How many decoded records are kept for the next check that reads the same topic. Each takes about 1 kB."""


class ClusterTopicReader:
    """A `holdfast.checks.TopicReader` over a cluster.

    Each topic is read once, when it is first asked for, and kept decoded for the next check; so all
    checks see the same records. Topics beyond `CACHED_RECORDS` are read anew each time.

    Args:
        resolved: the topology, with the event classes of the topics that are read.
        scanner: reads the cluster.
    """

    def __init__(self, resolved: ResolvedTopology, scanner: LogScanner) -> None:
        self._topology = resolved.topology
        self._resolved = resolved
        self._scanner = scanner
        self._events: dict[str, list[Recorded]] = {}
        self._tables: dict[tuple[str, str], Mapping[str, Any]] = {}

    def events(self, topic: str) -> Iterator[Recorded]:
        """The records of a declared topic; those that cannot be decoded are left out.

        Raises:
            TopologyError: the topic is not declared.
            ClusterError: the brokers cannot be read.
        """
        self._topology.topic(topic)
        if topic in self._events:
            return iter(self._events[topic])
        decode = EventDecoder(self._resolved.topics[topic].events).decode
        return self._keep(topic, _decoded(self._scanner.topic(topic), decode))

    def table(self, processor: str, table: str) -> Mapping[str, Any]:
        """A processor's table, folded from its changelog: each key's last value, as the declared type.

        Raises:
            TopologyError: the processor or table is not declared.
            StateError: a value cannot be decoded.
            ClusterError: the brokers cannot be read.
        """
        declared = stateful(self._topology, processor, table)
        if (processor, table) not in self._tables:
            codec: ValueCodec[Any] = ValueCodec(self._resolved.processors[processor].tables[table])
            rows = fold(self._scanner.topic(declared.changelog(table)))
            self._tables[processor, table] = {as_text(key): codec.decode(row) for key, row in rows.items()}
        return self._tables[processor, table]

    def dead_letters(self) -> Iterator[Message]:
        """The records that the application's processors set aside.

        Raises:
            ClusterError: the brokers cannot be read.
        """
        return self.records(self._topology.dead_letter_topic)

    def records(self, topic: str) -> Iterator[Message]:
        """The raw records of any topic, declared or not; none if it does not exist.

        Raises:
            ClusterError: the brokers cannot be read.
        """
        return self._scanner.topic(topic)

    def _keep(self, topic: str, records: Iterator[Recorded]) -> Iterator[Recorded]:
        room = CACHED_RECORDS - sum(map(len, self._events.values()))
        kept: list[Recorded] = []
        for record in records:
            kept.append(record)
            if len(kept) > room:
                yield from kept
                yield from records
                return
        self._events[topic] = kept
        yield from kept


def stateful(topology: Topology, processor: str, table: str) -> ProcessorDecl:
    """The processor that declares a table.

    Raises:
        TopologyError: the processor or table is not declared, or Holdfast's engine does not run it.
    """
    declared = topology.processor(processor)
    if not isinstance(declared, ProcessorDecl):
        raise TopologyError(
            f'processor "{processor}" is a Faust application: Faust keeps its tables in a form of its own.'
        )
    if table not in declared.tables:
        listed = ", ".join(declared.tables) or "none"
        raise TopologyError(
            f'processor "{processor}" has no table "{table}"{did_you_mean(table, declared.tables)} '
            f"(declared: {listed})"
        )
    return declared


def fold(records: Iterator[Message]) -> dict[bytes, bytes]:
    """The last value of each key, without those that were deleted."""
    rows: dict[bytes, bytes] = {}
    for record in records:
        key, value = record.key(), record.value()
        if key is None:
            continue
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = value
    return rows


def look_up(scanner: LogScanner, changelog: str, key: bytes, partitions: int) -> bytes | None:
    """The present value under `key` in a table's changelog, or None.

    The partition that murmur2 gives is read first. A producer with another partitioner may have put
    the key elsewhere, so the others are read if it is not there.

    Raises:
        ClusterError: the brokers cannot be read.
    """
    first = partition_of(key, partitions)

    def is_first(place: TopicPartition) -> bool:
        return place.partition == first

    def is_other(place: TopicPartition) -> bool:
        return place.partition != first

    value: bytes | None = None
    for chosen in (is_first, is_other):
        for record in scanner.topic(changelog, chosen):
            if record.key() == key:
                value = record.value()
        if value is not None:
            break
    return value


def as_text(key: bytes) -> str:
    """A key as it is shown; bytes that are no UTF-8 come as escapes."""
    return key.decode(errors="backslashreplace")


def _decoded(records: Iterator[Message], decode: Callable[..., Any]) -> Iterator[Recorded]:
    for record in records:
        key = record.key()
        try:
            event = decode(record.value(), record.headers(), key)
        except DecodeError:
            continue
        position = Position(record.topic(), record.partition(), record.offset())
        yield Recorded(position, None if key is None else as_text(key), record.timestamp()[1], event)
