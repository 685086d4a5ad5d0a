"""Rules that hold for every application, whatever its handlers do."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.record import TopicPartition
from holdfast.testing.simulation.brokers import Brokers
from holdfast.testing.simulation.log import Fate, PartitionLog
from holdfast.testing.simulation.store import Disks
from holdfast.topology.resolved import ResolvedProcessor, ResolvedTopology


def folded(log: PartitionLog, below: int) -> dict[bytes, bytes]:
    """The rows that a changelog's committed records below an offset make."""
    rows: dict[bytes, bytes] = {}
    for entry in log.history:
        if entry.offset >= below:
            break
        if entry.fate is Fate.VISIBLE and entry.message is not None:
            key, value = entry.message.key() or b"", entry.message.value()
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value
    return rows


def changelog_problems(brokers: Brokers, processor: ResolvedProcessor) -> Iterator[str]:
    """Changelogs with rows that nobody may read yet, when everything has ended."""
    for table in processor.tables:
        topic = processor.decl.changelog(table)
        for number in range(brokers.partitions(topic)):
            log = brokers.logs[TopicPartition(topic, number)]
            if log.stable != log.end:
                yield f"{log.place}: a transaction is open at offset {log.stable}"


def store_problems(brokers: Brokers, disks: Disks, resolved: ResolvedTopology) -> Iterator[str]:
    """Local state that is not what its changelog says, at the position that the state itself names.

    Only of processors that are exactly-once. At least once nobody is fenced: what a frozen worker had in hand
    when its shards went to others is written when it wakes up, below positions that their new owner has.
    """
    for path, folder in disks.folders.items():
        processor = resolved.processors[path.parent.parent.name]
        if not folder.is_complete or processor.decl.guarantee != "exactly-once":
            continue
        for table, rows in folder.tables.items():
            log = brokers.logs[TopicPartition(processor.decl.changelog(table), int(path.name))]
            reached = folder.checkpoints.get(table)
            if reached is None:
                if rows:
                    yield f"{path}: the table {table!r} has rows and no position"
            elif rows != folded(log, reached):
                yield f"{path}: the table {table!r} is not what its changelog holds up to offset {reached}"
