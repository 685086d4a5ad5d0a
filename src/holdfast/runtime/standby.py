"""Shards of other workers that are kept warm: a claim then needs only the tail of their changelogs.

Everything here runs on the restorer's thread and reads with the restorer's reader.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.errors import ClusterError, StateError
from holdfast.kafka.reader import PartitionReader
from holdfast.record import Message, TopicPartition
from holdfast.runtime.known_topics import KnownTopics
from holdfast.runtime.opening import OpenShard, RestoreSettings, ShardOpener
from holdfast.runtime.peers import Peers
from holdfast.runtime.placement import Owners, standbys

log = logging.getLogger(__name__)

RETRY_S: Final = 5.0
"""Seconds until a standby is tried again that could not be opened or written."""

COMPLETE_S: Final = 10.0
"""Seconds between two notes in a store that it holds all there is."""


@dataclass(frozen=True, slots=True)
class StandbyStatus:
    """What is kept warm.

    Attributes:
        shards: how many shards of other workers.
        behind: changelog offsets that these are behind, as far as is known.
    """

    shards: int = 0
    behind: int = 0


class Standbys:
    """The standbys of one worker.

    Args:
        settings: the processor's changelogs, and how many warm copies each shard has.
        opener: opens the stores.
        topics: the changelogs' ids.

    Attributes:
        status: how they are; read it on any thread.
    """

    def __init__(self, settings: RestoreSettings, opener: ShardOpener, topics: KnownTopics) -> None:
        self.status = StandbyStatus()
        self._changelogs = settings.changelogs
        # Without tables there is nothing to keep.
        self._count = settings.standby if settings.changelogs else 0
        self._opener = opener
        self._topics = topics
        self._shards: dict[int, OpenShard] = {}
        self._routes: dict[TopicPartition, OpenShard] = {}
        self._ended: set[int] = set()
        self._complete: dict[int, float] = {}
        self._retry_at = 0.0
        self._owners: Owners | None = None
        self._wanted: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self._shards)

    def adjust(self, reader: PartitionReader, owned: frozenset[int], peers: Peers) -> None:
        """Follow the shards that this worker would inherit, no others; opens at most one, as claims may wait.

        Args:
            reader: reads the changelogs.
            owned: shards that are this worker's own, or have just been.
            peers: who has which shard.
        """
        if not self._count or peers.own_id not in peers.owners:
            return
        wanted = self._share(peers).difference(owned)
        # One that was claimed a moment ago is about to be asked for.
        for partition in self._shards.keys() - wanted - owned:
            self._drop(reader, partition)
        missing = wanted - self._shards.keys()
        if missing and time.monotonic() >= self._retry_at:
            self._open(reader, min(missing))
        self._resume(reader)
        self._note_complete(reader)
        behind = [
            max(reader.known_end(place) - table.position, 0)
            for shard in self._shards.values()
            for place, table in shard.tables.items()
        ]
        self.status = StandbyStatus(len(self._shards), sum(behind))

    def _share(self, peers: Peers) -> frozenset[int]:
        """Its part of all standbys, computed anew when the owners have changed: this runs with every turn."""
        owners = peers.owners
        if owners is not self._owners:
            self._owners, self._wanted = owners, standbys(owners, peers.own_id, self._count)
        return self._wanted

    def give(self, reader: PartitionReader, partition: int) -> OpenShard | None:
        """Stop to follow a shard that was claimed, and hand its open store over; None if it is not warm."""
        shard = self._shards.get(partition)
        if shard is not None:
            self._detach(reader, shard)
        return shard

    def take_back(self, shard: OpenShard) -> None:
        """Keep a shard after all, whose claim could not be begun."""
        self._shards[shard.partition] = shard

    def take(self, reader: PartitionReader, place: TopicPartition, rows: Sequence[Message]) -> None:
        """Write changes of a table that is followed; those of others are left over from before."""
        shard = self._routes.get(place)
        if shard is not None:
            try:
                shard.take(place, rows)
            except StateError as error:
                self._give_up(reader, shard, error)

    def note_end(self, place: TopicPartition, end: int) -> None:
        """A table that is followed holds all there is at the moment."""
        shard = self._routes.get(place)
        if shard is None:
            return
        table = shard.tables[place]
        table.position = table.end = max(table.position, end)
        self._ended.add(shard.partition)

    def suspend(self, *, reopen: bool) -> None:
        """The reader is gone; `adjust` goes on with the next one.

        Args:
            reopen: open the stores again: where they stand may be what the brokers refused.
        """
        self._routes.clear()
        if reopen:
            self.close()

    def close(self) -> None:
        """Close the stores, which stay where they are on disk."""
        for shard in self._shards.values():
            shard.store.close()
        self._shards.clear()
        self._ended.clear()

    def _open(self, reader: PartitionReader, partition: int) -> None:
        ids = self._ids()
        if ids is None:
            return
        try:
            self._shards[partition] = self._opener.open(reader, partition, ids)
        except (StateError, ClusterError) as error:
            log.warning("standby of shard %d: %s; it is tried again", partition, error)
            self._retry_at = time.monotonic() + RETRY_S

    def _note_complete(self, reader: PartitionReader) -> None:
        """Note in stores that have reached their end that they hold all there is, in each now and then.

        An end is told once: one that came too soon after a note is noted later, and not forgotten. Else the
        store would for as long as nothing changes seem to lack the last markers.
        """
        now = time.monotonic()
        for shard in [self._shards[it] for it in self._ended if now >= self._complete.get(it, 0.0)]:
            self._ended.discard(shard.partition)
            if not shard.is_at_end:
                # It has moved on, and its next end is told as well.
                continue
            self._complete[shard.partition] = now + COMPLETE_S
            try:
                shard.note_complete()
            except StateError as error:
                self._give_up(reader, shard, error)

    def _ids(self) -> Mapping[str, str] | None:
        """The changelogs' ids by table; None before they are known."""
        ids = {table: self._topics.id_of(topic) for table, topic in self._changelogs.items()}
        known = {table: each for table, each in ids.items() if each is not None}
        return known if len(known) == len(ids) else None

    def _resume(self, reader: PartitionReader) -> None:
        """Read what is not being read: new standbys, and all of them with a new reader."""
        unread = {
            place: (shard, table.position)
            for shard in self._shards.values()
            for place, table in shard.tables.items()
            if place not in self._routes
        }
        if unread:
            reader.start({place: position for place, (_, position) in unread.items()})
            self._routes.update({place: shard for place, (shard, _) in unread.items()})

    def _give_up(self, reader: PartitionReader, shard: OpenShard, error: StateError) -> None:
        log.warning("standby of shard %d: %s; it is tried again", shard.partition, error)
        self._retry_at = time.monotonic() + RETRY_S
        self._drop(reader, shard.partition)

    def _drop(self, reader: PartitionReader, partition: int) -> None:
        shard = self._shards[partition]
        self._detach(reader, shard)
        shard.store.close()

    def _detach(self, reader: PartitionReader, shard: OpenShard) -> None:
        reader.stop([place for place in shard.tables if place in self._routes])
        for place in shard.tables:
            self._routes.pop(place, None)
        self._complete.pop(shard.partition, None)
        self._ended.discard(shard.partition)
        self._shards.pop(shard.partition, None)
