"""The beginning of a shard's restore: where its inputs go on, and its store, if it can be continued."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import methodcaller
from pathlib import Path

from holdfast.errors import CorruptStore, StateError, VersionRefused
from holdfast.kafka.positions import NO_STATE, Committed, Role, TopicId
from holdfast.kafka.reader import PartitionReader
from holdfast.kafka.versions import role_of
from holdfast.record import Message, TopicPartition
from holdfast.runtime.claims import Claim
from holdfast.runtime.owner_notes import OwnerNotes
from holdfast.runtime.store import RocksStore, StoreMemory

log = logging.getLogger(__name__)

_KEY = methodcaller("key")
_VALUE = methodcaller("value")

MAX_AGE_S = 12 * 3600.0
"""Local state that was last complete longer ago is rebuilt. Compaction drops a deletion a day after it was
written (`delete.retention.ms`): older state, read on from its checkpoint, could keep deleted keys."""


def admit_all(reader: PartitionReader) -> Role:  # noqa: ARG001
    """For a processor that has no other versions."""
    return Role.LIVE


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
        standby: warm copies of each shard on other workers.
        notes: what is noted beside the shards' positions.
        redrive: where dead letters are given back, if the processor takes them.
        admit: called before a shard begins whose positions tell no role, for its role; raises
            `VersionRefused` if another version of the processor is live.
    """

    inputs: tuple[str, ...]
    changelogs: Mapping[str, str]
    folder: Path
    start: str
    timeout: float = 10.0
    retry: float = 0.5
    standby: int = 0
    notes: OwnerNotes = field(default_factory=OwnerNotes)
    redrive: str | None = None
    admit: Callable[[PartitionReader], Role] = admit_all

    @property
    def reads(self) -> tuple[str, ...]:
        """All topics that are read for a shard."""
        return (*self.inputs, *((self.redrive,) if self.redrive else ()))


@dataclass(slots=True)
class TableProgress:
    """How far one table of a shard is; offsets are changelog positions."""

    name: str
    position: int
    begin: int
    end: int


@dataclass(slots=True, kw_only=True)
class OpenShard:
    """A shard whose store is open here, and how far each of its tables is."""

    partition: int
    store: RocksStore
    tables: dict[TopicPartition, TableProgress] = field(default_factory=dict)
    records: int = 0

    @property
    def done(self) -> bool:
        """Whether every table has reached its end."""
        return all(table.position >= table.end for table in self.tables.values())

    @property
    def is_at_end(self) -> bool:
        """Whether no table has moved on since it reached an end: beyond that one there may be more."""
        return all(table.position == table.end for table in self.tables.values())

    def take(self, place: TopicPartition, rows: Sequence[Message]) -> None:
        """Write changes of one table into the store.

        Raises:
            StateError: it cannot be written.
        """
        table = self.tables[place]
        table.position = rows[-1].offset() + 1
        # A restore is mostly this: what is done for each record is left to C.
        keys = list(map(_KEY, rows))
        if None in keys:
            keys = [key or b"" for key in keys]
        changes = list(zip(keys, map(_VALUE, rows), strict=True))
        self.store.apply({table.name: changes}, {table.name: table.position}, complete=False)
        self.records += len(rows)

    def note_complete(self) -> None:
        """Note that the store holds all there is: the positions may be past control records, too.

        Raises:
            StateError: it cannot be written.
        """
        self.store.apply({}, {table.name: table.position for table in self.tables.values()})


@dataclass(slots=True, kw_only=True)
class RestoringShard(OpenShard):
    """A shard that is made ready for a claim, and where its inputs go on."""

    claim: Claim
    positions: dict[str, int]
    started: float
    fence: int
    muted: dict[str, int]
    shadow: bool
    is_new: bool

    def require_origin(self) -> None:
        """Refuse state of which nobody knows any more what it was made of.

        Raises:
            StateError: the group has no positions, but the tables hold something.
        """
        if self.is_new and any(True for table in self.tables.values() for _ in self.store.items(table.name)):
            raise StateError(_NO_POSITIONS)


_NO_POSITIONS = (
    "its tables hold state, but the group has no positions: brokers forget those of a group without members "
    "after offsets.retention.minutes (7 days unless set), or somebody deleted the group. Going on from the "
    "declared `start` would apply records twice, or skip them. `holdfast replay PROCESSOR --from beginning` "
    "makes the tables anew; where you know the offsets to go on from, `--from 0:OFFSET,1:OFFSET --keep-state "
    "--emit` keeps them"
)


class ShardOpener:
    """Opens shards for a restore.

    Args:
        settings: what to restore.
        memory: shared by all stores of the worker.
    """

    def __init__(self, settings: RestoreSettings, memory: StoreMemory) -> None:
        self._settings = settings
        self._memory = memory
        self._new: set[int] = set()
        self._state: dict[int, Mapping[str, str]] = {}

    def positions(
        self, reader: PartitionReader, claims: Sequence[Claim], topic_id: TopicId, timeout: float
    ) -> dict[int, dict[str, int]]:
        """Where each shard's inputs go on: committed offsets, else the declared start.

        What was committed also tells which fencing token the shard had, so it gets its next one here; and
        how far it is muted; and what the group is among the versions of its processor.

        Args:
            reader: asks.
            claims: whose inputs.
            topic_id: the topics' ids.
            timeout: seconds to wait, also for open transactions to end.

        Raises:
            ClusterError: the brokers do not tell.
            VersionRefused: another version is live in its place.
        """
        places = [TopicPartition(topic, c.partition) for c in claims for topic in self._settings.reads]
        standing = reader.standing(places, timeout, topic_id) if places else {}
        positions: dict[int, dict[str, int]] = {claim.partition: {} for claim in claims}
        last = dict.fromkeys(positions, 0)
        notes = self._settings.notes
        self._new |= positions.keys()
        self._state |= dict.fromkeys(positions, NO_STATE)
        for place, found in standing.items():
            offset = self._first(reader, place) if found.offset is None else found.offset
            positions[place.partition][place.topic] = offset
            last[place.partition] = max(last[place.partition], found.fence)
            self._state[place.partition] = {**self._state[place.partition], **found.state}
            if found.was_noted:
                self._new.discard(place.partition)
            notes.take_over(place, found)
        self._take_roles(reader, standing)
        for partition, fence in last.items():
            notes.begin(partition, fence)
        return positions

    def _take_roles(self, reader: PartitionReader, standing: Mapping[TopicPartition, Committed]) -> None:
        """Note what each shard's positions say of the group.

        Raises:
            ClusterError: the brokers do not tell.
            VersionRefused: another version is live in its place.
        """
        roles: dict[int, list[Role]] = {}
        for place, found in standing.items():
            # A position in what is redriven may be older than the last switch, if none was taken for a time.
            if place.topic != self._settings.redrive:
                roles.setdefault(place.partition, []).append(found.role)
        decided = {partition: role_of(each) for partition, each in roles.items()}
        if Role.RETIRED in decided.values():
            raise VersionRefused(
                "this version of the processor is retired: another one is live in its place. Run that one, "
                "or make this one live again with `holdfast switch`"
            )
        unknown = self._settings.admit(reader) if Role.UNKNOWN in decided.values() else Role.LIVE
        for partition, role in decided.items():
            self._settings.notes.set_role(partition, unknown if role is Role.UNKNOWN else role)

    def _first(self, reader: PartitionReader, place: TopicPartition) -> int:
        first, end = reader.bounds(place, self._settings.timeout)
        # `holdfast dlq redrive` asks for a position first: what is there before one is known was for another
        # life of this group, which handles those records by its inputs.
        return end if self._settings.start == "latest" or place.topic == self._settings.redrive else first

    def begin(
        self,
        reader: PartitionReader,
        claim: Claim,
        positions: dict[str, int],
        ids: Mapping[str, str],
        warm: OpenShard | None,
    ) -> RestoringShard:
        """Begin the restore of a claimed shard.

        Args:
            reader: asks for the changelogs' ends.
            claim: whose it is.
            positions: where its inputs go on; read before, so that the ends cover them.
            ids: the changelogs' ids, by table.
            warm: the shard, if it was followed as a standby; its store goes over to the result.

        Raises:
            StateError: the store cannot be made, or its changelog is not the one that it was in.
            ClusterError: the brokers do not tell. `warm` is as it was, or closed if it was of no use.
        """
        started = time.monotonic()
        self._require_changelogs(claim.partition, ids)
        shard = self._take_over(reader, warm) if warm else None
        shard = shard or self.open(reader, claim.partition, ids)
        return RestoringShard(
            partition=claim.partition,
            store=shard.store,
            tables=shard.tables,
            claim=claim,
            positions=positions,
            started=started,
            fence=self._settings.notes.fence(claim.partition),
            muted=self._settings.notes.muted(self._settings.reads, claim.partition),
            shadow=self._settings.notes.is_shadow(claim.partition),
            is_new=claim.partition in self._new,
        )

    def _require_changelogs(self, partition: int, ids: Mapping[str, str]) -> None:
        """Refuse changelogs that were made anew since the shard's positions were committed.

        Raises:
            StateError: there is such a one.
        """
        noted = self._state.get(partition, NO_STATE)
        gone = [table for table, id_ in ids.items() if noted.get(table, id_) != id_]
        if gone:
            topics = ", ".join(self._settings.changelogs[table] for table in gone)
            raise StateError(
                f"{topics}: deleted and created again since this shard's positions were committed, so the "
                "state that goes with them is lost. Going on would be from nothing, amid the inputs. "
                "`holdfast replay PROCESSOR --from beginning` makes the tables anew from the inputs"
            )

    def _take_over(self, reader: PartitionReader, warm: OpenShard) -> OpenShard | None:
        """The shard with new ends; None, and closed, when the log has moved on beyond its positions."""
        ends = {place: reader.high_watermark(place, self._settings.timeout) for place in warm.tables}
        firsts = {place: reader.bounds(place, self._settings.timeout)[0] for place in warm.tables}
        if any(not firsts[place] <= table.position <= ends[place] for place, table in warm.tables.items()):
            warm.store.close()
            return None
        for place, table in warm.tables.items():
            table.begin, table.end = table.position, ends[place]
        warm.records = 0
        return warm

    def open(self, reader: PartitionReader, partition: int, ids: Mapping[str, str]) -> OpenShard:
        """Open a shard's store, thrown away first if it cannot be read or belongs to another history.

        Args:
            reader: asks for the changelogs' ends.
            partition: the shard.
            ids: the changelogs' ids, by table.

        Raises:
            StateError: the store cannot be made.
            ClusterError: the brokers do not tell.
        """
        path = self._settings.folder / str(partition)
        store, discarded = RocksStore.open_or_discard(path, tuple(self._settings.changelogs), self._memory)
        if discarded:
            log.warning("shard %d: its local state could not be read; it is rebuilt", partition)
        shard = OpenShard(partition=partition, store=store)
        try:
            _require_shard(store, partition, ids)
            _require_history(store, ids)
            _require_youth(store, ids)
            shard.tables = self._tables(reader, shard)
            store.begin(ids, partition)
        except CorruptStore as error:
            log.warning("shard %d: %s; it is rebuilt", partition, error)
            store.close()
            RocksStore.destroy(path)
            if discarded:
                raise
            return self.open(reader, partition, ids)
        except BaseException:
            # Left open, it could not be opened again by the next try.
            store.close()
            raise
        return shard

    def _tables(self, reader: PartitionReader, shard: OpenShard) -> dict[TopicPartition, TableProgress]:
        tables = {}
        for table, topic in self._settings.changelogs.items():
            place = TopicPartition(topic, shard.partition)
            first, _ = reader.bounds(place, self._settings.timeout)
            end = reader.high_watermark(place, self._settings.timeout)
            checkpoint = shard.store.checkpoint(table)
            if checkpoint is not None and not first <= checkpoint <= end:
                # Beyond the end, it belongs to another history. Before the first, deletions may be missed.
                raise CorruptStore(
                    f"local state is at offset {checkpoint} of {place}, which holds {first} to {end}"
                )
            position = max(first, checkpoint or 0)
            tables[place] = TableProgress(table, position, position, end)
        return tables


def _require_shard(store: RocksStore, partition: int, tables: Iterable[str]) -> None:
    """Refuse state of another shard, whose offsets may well lie within this one's changelog.

    State that does not say which shard it is of is refused too: what a wrong one gives goes into the
    changelog and stays there, and a restore costs some time, once.

    Raises:
        CorruptStore: it is not this shard's, as far as it says.
    """
    found = store.shard
    if found != partition and any(store.checkpoint(table) is not None for table in tables):
        of = "does not say which shard it is of" if found is None else f"is that of shard {found}"
        raise CorruptStore(f"the local state in {store.path} {of}")


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
