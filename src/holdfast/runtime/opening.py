"""The beginning of a shard's restore: where its inputs go on, and its store, if it can be continued."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.errors import CorruptStore
from holdfast.kafka.positions import TopicId
from holdfast.kafka.reader import PartitionReader
from holdfast.record import TopicPartition
from holdfast.runtime.claims import Claim
from holdfast.runtime.store import RocksStore, StoreMemory

log = logging.getLogger(__name__)

MAX_AGE_S = 12 * 3600.0
"""Local state that was last complete longer ago is rebuilt. Compaction drops a deletion a day after it was
written (`delete.retention.ms`): older state, read on from its checkpoint, could keep deleted keys."""


@dataclass(frozen=True, slots=True)
class RestoreSettings:
    """What restoring the shards of one processor needs.

    Attributes:
        inputs: the processor's input topics.
        changelogs: for each table, its changelog topic.
        folder: the worker's state folder; a shard's store is the folder named by its number.
        start: where a group without committed offsets begins.
        timeout: seconds for one question to the brokers.
        retry: seconds until brokers that did not answer are asked again.
    """

    inputs: tuple[str, ...]
    changelogs: Mapping[str, str]
    folder: Path
    start: str
    timeout: float = 10.0
    retry: float = 0.5


@dataclass(slots=True)
class RestoringTable:
    """One table of a shard under restore; offsets are changelog positions."""

    name: str
    position: int
    begin: int
    end: int


@dataclass(slots=True)
class RestoringShard:
    """A shard under restore: its open store, and how far each of its tables is."""

    claim: Claim
    store: RocksStore
    positions: dict[str, int]
    started: float
    tables: dict[TopicPartition, RestoringTable] = field(default_factory=dict)
    records: int = 0

    @property
    def done(self) -> bool:
        """Whether every table has reached its end."""
        return all(table.position >= table.end for table in self.tables.values())


class ShardOpener:
    """Opens shards for a restore.

    Args:
        settings: what to restore.
        memory: shared by all stores of the worker.
    """

    def __init__(self, settings: RestoreSettings, memory: StoreMemory) -> None:
        self._settings = settings
        self._memory = memory

    def positions(
        self, reader: PartitionReader, claims: Sequence[Claim], topic_id: TopicId
    ) -> dict[int, dict[str, int]]:
        """Where each shard's inputs go on: committed offsets, else the declared start."""
        places = [TopicPartition(topic, c.partition) for c in claims for topic in self._settings.inputs]
        committed = reader.committed(places, self._settings.timeout, topic_id) if places else {}
        positions: dict[int, dict[str, int]] = {claim.partition: {} for claim in claims}
        for place, offset in committed.items():
            positions[place.partition][place.topic] = self._first(reader, place) if offset is None else offset
        return positions

    def _first(self, reader: PartitionReader, place: TopicPartition) -> int:
        first, end = reader.bounds(place, self._settings.timeout)
        return end if self._settings.start == "latest" else first

    def open(
        self, reader: PartitionReader, claim: Claim, positions: dict[str, int], ids: Mapping[str, str]
    ) -> RestoringShard:
        """Open a shard's store, thrown away first if it cannot be read or belongs to another history."""
        path = self._settings.folder / str(claim.partition)
        store, discarded = RocksStore.open_or_discard(path, tuple(self._settings.changelogs), self._memory)
        if discarded:
            log.warning("shard %d: its local state could not be read; it is rebuilt", claim.partition)
        shard = RestoringShard(claim, store, positions, time.monotonic())
        try:
            _require_history(store, ids)
            _require_youth(store, ids)
            shard.tables = self._tables(reader, shard)
            store.begin(ids)
        except CorruptStore as error:
            log.warning("shard %d: %s; it is rebuilt", claim.partition, error)
            store.close()
            RocksStore.destroy(path)
            if discarded:
                raise
            return self.open(reader, claim, positions, ids)
        except BaseException:
            # Left open, it could not be opened again by the next try.
            store.close()
            raise
        return shard

    def _tables(self, reader: PartitionReader, shard: RestoringShard) -> dict[TopicPartition, RestoringTable]:
        tables = {}
        for table, topic in self._settings.changelogs.items():
            place = TopicPartition(topic, shard.claim.partition)
            first, _ = reader.bounds(place, self._settings.timeout)
            end = reader.high_watermark(place, self._settings.timeout)
            checkpoint = shard.store.checkpoint(table)
            if checkpoint is not None and not first <= checkpoint <= end:
                # Beyond the end, it belongs to another history. Before the first, deletions may be missed.
                raise CorruptStore(
                    f"local state is at offset {checkpoint} of {place}, which holds {first} to {end}"
                )
            position = max(first, checkpoint or 0)
            tables[place] = RestoringTable(table, position, position, end)
        return tables


def _require_history(store: RocksStore, ids: Mapping[str, str]) -> None:
    """Refuse state of other topics, which may have the same names: another cluster's, or deleted since.

    Raises:
        CorruptStore: it belongs to another history.
    """
    for table, topic in ids.items():
        if store.checkpoint(table) is not None and store.topic(table) != topic:
            raise CorruptStore(f"the local state of the table {table!r} belongs to another changelog")


def _require_youth(store: RocksStore, tables: Iterable[str]) -> None:
    """Refuse state that may have missed deletions.

    Raises:
        CorruptStore: it was last complete too long ago.
    """
    for table in tables:
        if store.checkpoint(table) is not None and store.age(table) > MAX_AGE_S:
            raise CorruptStore(f"the local state of the table {table!r} is too old to be continued")
