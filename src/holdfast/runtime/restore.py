"""Restore before work: bring a shard's local state to its last commit, on a thread of its own.

For each shard, in this order: (1) the group's committed offsets, read only when no
transaction can still change them; (2) the end of each changelog, taken after (1), open
transactions included, so that it covers all that those offsets stand for: a commit is final
before its marker reaches every partition, so the offsets may show it while the changelog's
last stable offset does not yet; (3) the local store at its checkpoint,
and the changelog from there; (4) done when the *position* reaches the end. The last
records before an end may be control records or compacted away, so "the last record
was seen" would wait forever.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.errors import ClusterError, CorruptStore, HoldfastError, StateError, TopicReplaced
from holdfast.kafka.reader import PartitionReader
from holdfast.record import Message, TopicPartition
from holdfast.runtime.known_topics import KnownTopics
from holdfast.runtime.store import RocksStore, StoreMemory

log = logging.getLogger(__name__)

MAX_AGE_S = 12 * 3600.0
"""Local state that was last complete longer ago is rebuilt. Compaction drops a deletion a day after it was
written (`delete.retention.ms`): older state, read on from its checkpoint, could keep deleted keys."""

_BATCH = 10_000
_IDLE_WAIT_S = 0.2


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


@dataclass(frozen=True, slots=True)
class Claim:
    """One ownership of one shard; a shard that comes back is a new claim."""

    partition: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Restored:
    """A shard that is ready for work.

    Attributes:
        claim: whose it is.
        store: its state, complete up to the committed offsets.
        positions: for each input topic, where to go on.
        records: changelog records read.
        seconds: how long it took.
    """

    claim: Claim
    store: RocksStore
    positions: Mapping[str, int]
    records: int
    seconds: float


@dataclass(frozen=True, slots=True)
class NotRestored:
    """A shard that cannot be made ready; the error says why."""

    claim: Claim
    error: HoldfastError


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a restore is.

    Attributes:
        partition: the shard.
        done: changelog offsets behind us.
        total: changelog offsets to pass in all.
    """

    partition: int
    done: int
    total: int


@dataclass(slots=True)
class _Table:
    """One table of a shard under restore; offsets are changelog positions."""

    name: str
    position: int
    begin: int
    end: int


@dataclass(slots=True)
class _Shard:
    claim: Claim
    store: RocksStore
    positions: dict[str, int]
    started: float
    tables: dict[TopicPartition, _Table] = field(default_factory=dict)
    records: int = 0

    @property
    def done(self) -> bool:
        return all(table.position >= table.end for table in self.tables.values())


class Restorer:
    """Restores shards one after another or together, as they are asked for.

    It also looks now and then whether the processor's topics are still the ones that it began with.

    Args:
        settings: what to restore.
        connect: makes the reader; called on the restorer's own thread.
        memory: shared by all stores of the worker.
        topics: the inputs and changelogs.

    Attributes:
        results: the answers.
        replaced: set when a topic was replaced: nothing is answered any more, and the worker must start anew.
    """

    def __init__(
        self,
        settings: RestoreSettings,
        connect: Callable[[], PartitionReader],
        memory: StoreMemory,
        topics: KnownTopics,
    ) -> None:
        self.results: queue.SimpleQueue[Restored | NotRestored] = queue.SimpleQueue()
        self._settings = settings
        self._connect = connect
        self._memory = memory
        self._requests: queue.SimpleQueue[Claim | threading.Event | None] = queue.SimpleQueue()
        self._looks: list[threading.Event] = []
        self._wanted: dict[int, int] = {}
        self._lock = threading.Lock()
        self.replaced: TopicReplaced | None = None
        self._topics = topics
        self._shards: dict[int, _Shard] = {}
        self._routes: dict[TopicPartition, _Shard] = {}
        self._thread = threading.Thread(target=self._run, name="restore", daemon=True)
        self._thread.start()

    def ask(self, claim: Claim) -> None:
        """Restore a shard; the answer appears in `results`."""
        with self._lock:
            self._wanted[claim.partition] = claim.epoch
        self._requests.put(claim)

    def cancel(self, partition: int) -> None:
        """Forget a shard: no answer appears after this call that was not there before it.

        What was restored of it stays on disk for the next time.
        """
        with self._lock:
            self._wanted.pop(partition, None)

    def confirm_topics(self) -> None:
        """Look now whether the topics are still the same, and wait for the answer.

        Raises:
            TopicReplaced: they are not. When nobody answers in time nothing is raised.
        """
        if self.replaced is None:
            looked = threading.Event()
            self._requests.put(looked)
            looked.wait(self._settings.timeout)
        if self.replaced is not None:
            raise self.replaced

    def progress(self) -> tuple[Progress, ...]:
        """How far each restore under way is."""
        return tuple(
            Progress(
                shard.claim.partition,
                sum(t.position - t.begin for t in shard.tables.values()),
                sum(t.end - t.begin for t in shard.tables.values()),
            )
            for shard in list(self._shards.values())
        )

    def close(self) -> None:
        """Stop; shards under restore are left at their last checkpoint."""
        with self._lock:
            self._wanted.clear()
        self._requests.put(None)
        self._thread.join(self._settings.timeout)

    def _run(self) -> None:
        reader: PartitionReader | None = None
        stopping = False
        RocksStore.sweep(self._settings.folder)
        while not stopping:
            claims, stopping = self._take_requests()
            try:
                reader = reader or self._connect()
                self._drop_unwanted(reader)
                if claims and not stopping:
                    self._begin(reader, claims)
                if self._shards:
                    self._read(reader)
                self._look_at_topics(reader)
            except TopicReplaced as error:
                # Nothing can be answered any more: the worker ends.
                self.replaced, stopping = error, True
            except HoldfastError as error:
                self._start_over(reader, claims, error)
                reader = None
            except Exception as error:
                # A shard that is never answered for would look healthy and do nothing.
                log.exception("restoring failed in an unforeseen way")
                self._start_over(reader, claims, StateError(f"restoring failed: {error!r}"))
                reader = None
            while self._looks:
                self._looks.pop().set()
        for shard in self._shards.values():
            shard.store.close()
        if reader is not None:
            reader.close()

    def _take_requests(self) -> tuple[list[Claim], bool]:
        """Requests so far; with nothing else to do, waits for one or until the topics are to be looked at."""
        claims: list[Claim] = []
        wait = not self._shards
        while True:
            try:
                claim = self._requests.get(wait, self._topics.seconds_to_look)
            except queue.Empty:
                return claims, False
            if claim is None:
                return claims, True
            if isinstance(claim, Claim):
                claims.append(claim)
            else:
                self._looks.append(claim)
            wait = False

    def _is_wanted(self, claim: Claim) -> bool:
        with self._lock:
            return self._wanted.get(claim.partition) == claim.epoch

    def _drop_unwanted(self, reader: PartitionReader) -> None:
        for shard in [s for s in self._shards.values() if not self._is_wanted(s.claim)]:
            self._detach(reader, shard)
            shard.store.close()

    def _begin(self, reader: PartitionReader, claims: Sequence[Claim]) -> None:
        wanted = [claim for claim in claims if self._is_wanted(claim)]
        if not wanted:
            return
        try:
            ids = self._topics.ids(reader)
            positions = self._start_positions(reader, wanted, ids)
        except TopicReplaced:
            raise
        except ClusterError as error:
            self._ask_again(wanted, error)
            return
        tables = {table: ids[topic] for table, topic in self._settings.changelogs.items()}
        for number, claim in enumerate(wanted):
            try:
                shard = self._open(reader, claim, positions[claim.partition], tables)
            except StateError as error:
                self._answer(NotRestored(claim, error))
            except ClusterError as error:
                self._ask_again(wanted[number:], error)
                return
            else:
                self._follow(reader, shard)

    def _follow(self, reader: PartitionReader, shard: _Shard) -> None:
        """Read a shard's changelogs, unless it is at their ends already."""
        self._shards[shard.claim.partition] = shard
        unread = {p: t.position for p, t in shard.tables.items() if t.position < t.end}
        self._routes.update(dict.fromkeys(unread, shard))
        if unread:
            reader.start(unread)
        else:
            self._finish(reader, shard)

    def _ask_again(self, claims: Sequence[Claim], error: ClusterError) -> None:
        """Put claims back whose questions were not answered; what is under restore goes on.

        Raises:
            ClusterError: nothing is under restore, so that a new reader costs nothing.
        """
        if not self._shards:
            raise error
        self._pause(error)
        for claim in claims:
            self._requests.put(claim)

    def _pause(self, error: ClusterError) -> None:
        log.warning("restore is tried again: %s", error)
        time.sleep(self._settings.retry)

    def _start_positions(
        self, reader: PartitionReader, claims: Sequence[Claim], ids: Mapping[str, str]
    ) -> dict[int, dict[str, int]]:
        """Where each shard's inputs go on: committed offsets, else the declared start."""
        places = [TopicPartition(topic, c.partition) for c in claims for topic in self._settings.inputs]
        committed = reader.committed(places, self._settings.timeout, ids) if places else {}
        positions: dict[int, dict[str, int]] = {claim.partition: {} for claim in claims}
        for place, offset in committed.items():
            positions[place.partition][place.topic] = self._first(reader, place) if offset is None else offset
        return positions

    def _look_at_topics(self, reader: PartitionReader) -> None:
        if self._looks or self._topics.seconds_to_look == 0.0:
            try:
                self._topics.ids(reader)
            except TopicReplaced:
                raise
            except ClusterError as error:
                # Brokers are away, or a topic is: who needs it says so.
                log.debug("looking at the topics: %s", error)

    def _first(self, reader: PartitionReader, place: TopicPartition) -> int:
        first, end = reader.bounds(place, self._settings.timeout)
        return end if self._settings.start == "latest" else first

    def _open(
        self, reader: PartitionReader, claim: Claim, positions: dict[str, int], ids: Mapping[str, str]
    ) -> _Shard:
        """Open a shard's store, thrown away first if it cannot be read or belongs to another history."""
        path = self._settings.folder / str(claim.partition)
        store, discarded = RocksStore.open_or_discard(path, tuple(self._settings.changelogs), self._memory)
        if discarded:
            log.warning("shard %d: its local state could not be read; it is rebuilt", claim.partition)
        shard = _Shard(claim, store, positions, time.monotonic())
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
            return self._open(reader, claim, positions, ids)
        except BaseException:
            # Left open, it could not be opened again by the next try.
            store.close()
            raise
        return shard

    def _tables(self, reader: PartitionReader, shard: _Shard) -> dict[TopicPartition, _Table]:
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
            tables[place] = _Table(table, position, position, end)
        return tables

    def _read(self, reader: PartitionReader) -> None:
        records, ends = reader.read(_BATCH, _IDLE_WAIT_S)
        touched: dict[int, _Shard] = {}
        for place, rows in _by_partition(records).items():
            shard = self._routes.get(place)
            if shard is not None and self._take(reader, shard, place, rows):
                touched[shard.claim.partition] = shard
        for place, end in ends.items():
            shard = self._routes.get(place)
            if shard is not None:
                table = shard.tables[place]
                table.position = max(table.position, end)
                touched[shard.claim.partition] = shard
        for shard in touched.values():
            if shard.done and shard.claim.partition in self._shards:
                self._finish(reader, shard)

    def _take(
        self, reader: PartitionReader, shard: _Shard, place: TopicPartition, rows: Sequence[Message]
    ) -> bool:
        """Write changes into a shard's store; False when it cannot be written, which ends this shard only."""
        table = shard.tables[place]
        table.position = rows[-1].offset() + 1
        changes = [(row.key() or b"", row.value()) for row in rows]
        try:
            shard.store.apply({table.name: changes}, {table.name: table.position}, complete=False)
        except StateError as error:
            self._detach(reader, shard)
            shard.store.close()
            self._answer(NotRestored(shard.claim, error))
            return False
        shard.records += len(rows)
        return True

    def _finish(self, reader: PartitionReader, shard: _Shard) -> None:
        self._detach(reader, shard)
        try:
            # The position may be past control records: note it, or they are read again next time.
            shard.store.apply({}, {t.name: t.position for t in shard.tables.values()})
        except StateError as error:
            shard.store.close()
            self._answer(NotRestored(shard.claim, error))
            return
        seconds = time.monotonic() - shard.started
        if not self._answer(Restored(shard.claim, shard.store, shard.positions, shard.records, seconds)):
            shard.store.close()

    def _answer(self, result: Restored | NotRestored) -> bool:
        """Put a result, unless the claim is no longer wanted; each claim is answered once."""
        claim = result.claim
        with self._lock:
            if self._wanted.get(claim.partition) != claim.epoch:
                return False
            del self._wanted[claim.partition]
            self.results.put(result)
        return True

    def _detach(self, reader: PartitionReader, shard: _Shard) -> None:
        reader.stop([place for place in shard.tables if place in self._routes])
        # Only now: were the call refused, the shard would still have to be answered for.
        self._shards.pop(shard.claim.partition, None)
        for place in shard.tables:
            self._routes.pop(place, None)

    def _start_over(
        self, reader: PartitionReader | None, claims: Sequence[Claim], error: HoldfastError
    ) -> None:
        """Drop the reader and answer for what is under way; brokers that do not answer are asked again."""
        again = {*(shard.claim for shard in self._shards.values()), *claims}
        for shard in self._shards.values():
            shard.store.close()
        self._shards.clear()
        self._routes.clear()
        if reader is not None:
            with contextlib.suppress(ClusterError):
                reader.close()
        pending = [claim for claim in again if self._is_wanted(claim)]
        if isinstance(error, ClusterError) and pending:
            self._pause(error)
        for claim in pending:
            if isinstance(error, ClusterError):
                self._requests.put(claim)
            else:
                self._answer(NotRestored(claim, error))


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


def _by_partition(records: Sequence[Message]) -> dict[TopicPartition, list[Message]]:
    found: dict[TopicPartition, list[Message]] = {}
    for record in records:
        found.setdefault(TopicPartition(record.topic(), record.partition()), []).append(record)
    return found
