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
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import methodcaller

from holdfast.errors import (
    BrokersUnreachable,
    ClusterError,
    ClusterMismatch,
    HoldfastError,
    StateError,
    TopicReplaced,
    VersionRefused,
)
from holdfast.kafka.errors import is_lasting
from holdfast.kafka.reader import PartitionReader, TopicFacts
from holdfast.record import Message, TopicPartition
from holdfast.runtime.claims import Claim, NotRestored, Progress, Restored, Waiting
from holdfast.runtime.known_topics import KnownTopics, missing_partition
from holdfast.runtime.opening import RestoreSettings, RestoringShard, ShardOpener
from holdfast.runtime.peers import Peers
from holdfast.runtime.predecessors import Predecessors
from holdfast.runtime.stall import InputEnds
from holdfast.runtime.standby import Standbys, StandbyStatus
from holdfast.runtime.store import RocksStore, StoreMemory

log = logging.getLogger(__name__)

_TOPIC = methodcaller("topic")
_PARTITION = methodcaller("partition")
_BATCH = 10_000
_IDLE_WAIT_S = 0.2
_BRIEFLY_S = 0.5
"""Seconds that a question for positions may hold up other shards, whose restore goes on."""
PROBE_AFTER_S = 10.0
"""Seconds that a claim may wait before it is asked whether brokers are away: a coordinator that moves, or a
leader, costs no restore any further questions."""

PROBE_EVERY_S = 1.0
_PROBE_TIMEOUT_S = 2.0
_STANDBY_WAIT_S = 0.02
"""A claim that comes meanwhile waits for it."""


class Restorer:
    """Restores shards one after another or together, as they are asked for.

    It also looks now and then whether the processor's topics are still the ones that it began with.

    Args:
        settings: what to restore.
        connect: makes the reader; called on the restorer's own thread.
        memory: shared by all stores of the worker.
        topics: the inputs and changelogs.
        peers: the processor's workers; asked for here, as this is the thread that talks to the brokers.
        ends: the inputs' ends; asked for here as well.
        predecessors: those who had the shards before; they may have left transactions open.

    Attributes:
        results: the answers.
        ended: why nothing is answered any more: a topic was replaced, and the worker must start anew; or this
            version of the processor must not work.
    """

    def __init__(
        self,
        settings: RestoreSettings,
        connect: Callable[[], PartitionReader],
        memory: StoreMemory,
        topics: KnownTopics,
        peers: Peers | None = None,
        ends: InputEnds | None = None,
        predecessors: Predecessors | None = None,
    ) -> None:
        self.results: queue.SimpleQueue[Restored | NotRestored] = queue.SimpleQueue()
        self._settings = settings
        self._connect = connect
        self._opener = ShardOpener(settings, memory)
        self._requests: queue.SimpleQueue[Claim | threading.Event | None] = queue.SimpleQueue()
        self._looks: list[threading.Event] = []
        self._later: list[Claim] = []
        self._later_due = 0.0
        self._waits: dict[Claim, Waiting] = {}
        self._probed = 0.0
        self._answering: float | None = None
        self._wanted: dict[int, int] = {}
        self._owned: set[int] = set()
        self._lock = threading.Lock()
        self.ended: TopicReplaced | VersionRefused | None = None
        self._topics = topics
        self._peers = peers
        self._ends = ends
        self._predecessors = predecessors
        self._standbys = Standbys(settings, self._opener, topics)
        self._shards: dict[int, RestoringShard] = {}
        self._routes: dict[TopicPartition, RestoringShard] = {}
        self._thread = threading.Thread(target=self._run, name="restore", daemon=True)
        self._thread.start()

    def ask(self, claim: Claim) -> None:
        """Restore a shard; the answer appears in `results`."""
        with self._lock:
            self._wanted[claim.partition] = claim.epoch
            self._owned.add(claim.partition)
        self._requests.put(claim)

    def cancel(self, partition: int) -> None:
        """Forget a shard: no answer appears after this call that was not there before it.

        What was restored of it stays on disk for the next time.
        """
        with self._lock:
            self._wanted.pop(partition, None)

    def released(self, partition: int) -> None:
        """A shard's store is closed, and may be opened here as a standby."""
        with self._lock:
            self._owned.discard(partition)

    def confirm_topics(self) -> None:
        """Look now whether the topics are still the same, and wait for the answer.

        Raises:
            TopicReplaced: they are not. When nobody answers in time nothing is raised.
            VersionRefused: this version of the processor must not work.
        """
        if self.ended is None:
            looked = threading.Event()
            self._requests.put(looked)
            looked.wait(self._settings.timeout)
        if self.ended is not None:
            raise self.ended

    @property
    def standbys(self) -> StandbyStatus:
        """The shards of other workers that are kept warm here."""
        return self._standbys.status

    def progress(self) -> tuple[Progress, ...]:
        """How far each restore under way is."""
        return tuple(
            Progress(
                shard.partition,
                sum(t.position - t.begin for t in shard.tables.values()),
                sum(t.end - t.begin for t in shard.tables.values()),
            )
            for shard in list(self._shards.values())
        )

    def waiting(self) -> tuple[Waiting, ...]:
        """Claims that were tried in vain, and have not been begun with since."""
        return tuple(
            waiting
            for claim, waiting in list(self._waits.items())
            if claim.partition not in self._shards and self._is_wanted(claim)
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
                reader = reader or self._new_reader()
                self._drop_unwanted(reader)
                if claims and not stopping:
                    self._begin(reader, claims)
                if self._shards or self._standbys:
                    self._read(reader)
                self._look_at_topics(reader)
                if self._peers is not None:
                    self._peers.look(reader)
                    self._standbys.adjust(reader, self._owned_now(), self._peers)
                if self._ends is not None:
                    self._ends.look(reader)
            except (TopicReplaced, VersionRefused) as error:
                # Nothing can be answered any more: the worker ends.
                self.ended, stopping = error, True
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
        self._standbys.close()
        if reader is not None:
            reader.close()

    def _new_reader(self) -> PartitionReader:
        reader = self._connect()
        if self._predecessors is not None:
            # Before there is a claim: 60 ms that the first one would wait.
            reader.warm_up()
        return reader

    def _take_requests(self) -> tuple[list[Claim], bool]:
        """Requests so far; with nothing else to do, waits for one or until the topics are to be looked at."""
        claims: list[Claim] = []
        claims += self._take_later()
        wait = not self._shards and not self._standbys and not claims
        while True:
            try:
                claim = self._requests.get(wait, self._seconds_to_look())
            except queue.Empty:
                return claims, False
            if claim is None:
                return claims, True
            if isinstance(claim, Claim):
                claims.append(claim)
            else:
                self._looks.append(claim)
            wait = False

    def _seconds_to_look(self) -> float | None:
        due = [it.seconds_to_look for it in (self._topics, self._peers, self._ends) if it is not None]
        return min((it for it in due if it is not None), default=None)

    def _owned_now(self) -> frozenset[int]:
        with self._lock:
            return frozenset(self._owned)

    def _is_wanted(self, claim: Claim) -> bool:
        with self._lock:
            return self._wanted.get(claim.partition) == claim.epoch

    def _drop_unwanted(self, reader: PartitionReader) -> None:
        for shard in [s for s in self._shards.values() if not self._is_wanted(s.claim)]:
            self._detach(reader, shard)
            shard.store.close()
        for claim in [claim for claim in self._waits if not self._is_wanted(claim)]:
            del self._waits[claim]

    def _begin(self, reader: PartitionReader, claims: Sequence[Claim]) -> None:
        wanted = [claim for claim in claims if self._is_wanted(claim)]
        if not wanted:
            return
        try:
            topics = self._topics.look(reader)
            wanted = self._refuse_grown(wanted, topics)
            if self._predecessors is not None:
                self._predecessors.look(reader, [claim.partition for claim in wanted])
            timeout = _BRIEFLY_S if self._shards else self._settings.timeout
            positions = self._opener.positions(reader, wanted, self._topics.id_of, timeout)
        except TopicReplaced:
            raise
        except ClusterError as error:
            self._ask_again(reader, wanted, error)
            return
        tables = {table: topics[topic].id for table, topic in self._settings.changelogs.items()}
        for number, claim in enumerate(wanted):
            try:
                shard = self._open(reader, claim, positions[claim.partition], tables)
            except StateError as error:
                self._answer(NotRestored(claim, error))
            except ClusterError as error:
                self._ask_again(reader, wanted[number:], error)
                return
            else:
                self._follow(reader, shard)

    def _open(
        self, reader: PartitionReader, claim: Claim, positions: dict[str, int], tables: Mapping[str, str]
    ) -> RestoringShard:
        """Begin with a shard's standby, if there is one here."""
        warm = self._standbys.give(reader, claim.partition)
        try:
            return self._opener.begin(reader, claim, positions, tables, warm)
        except ClusterError:
            if warm is not None and not warm.store.is_closed:
                self._standbys.take_back(warm)
            raise

    def _refuse_grown(self, claims: Sequence[Claim], topics: Mapping[str, TopicFacts]) -> list[Claim]:
        """Answer for shards that a topic has no partition for, or whose keys moved; return the others."""
        there = []
        moved = self._moved_keys(topics)
        for claim in claims:
            mismatch = moved or missing_partition(topics, claim.partition)
            if mismatch is None:
                there.append(claim)
            else:
                self._answer(NotRestored(claim, mismatch))
        return there

    def _moved_keys(self, topics: Mapping[str, TopicFacts]) -> ClusterMismatch | None:
        """What is wrong when an input has grown whose keys have state."""
        if not self._settings.changelogs:
            return None
        return missing_partition(topics, max(topics[topic].partitions for topic in self._settings.inputs) - 1)

    def _follow(self, reader: PartitionReader, shard: RestoringShard) -> None:
        """Read a shard's changelogs, unless it is at their ends already."""
        self._shards[shard.partition] = shard
        unread = {p: t.position for p, t in shard.tables.items() if t.position < t.end}
        self._routes.update(dict.fromkeys(unread, shard))
        if unread:
            reader.start(unread)
        else:
            self._finish(reader, shard)

    def _ask_again(self, reader: PartitionReader, claims: Sequence[Claim], error: ClusterError) -> None:
        """Put claims back whose questions were not answered; what is under restore goes on.

        Raises:
            ClusterError: nothing is under restore, so that a new reader costs nothing.
        """
        if not self._shards:
            raise error
        if is_lasting(error):
            for claim in claims:
                self._answer(NotRestored(claim, error))
            return
        self._note_waiting(reader, claims, error)
        log.info("asked again while other shards are restored: %s", error)
        self._later += claims
        self._later_due = time.monotonic() + self._settings.retry

    def _take_later(self) -> list[Claim]:
        """Claims that were put back, when it is time or there is nothing else to do."""
        if not self._later or (self._shards and time.monotonic() < self._later_due):
            return []
        claims, self._later = self._later, []
        return claims

    def _note_waiting(
        self, reader: PartitionReader | None, claims: Sequence[Claim], error: ClusterError
    ) -> None:
        """Note that claims were tried in vain, and whether it is for brokers that are away."""
        now = time.monotonic()
        since = {claim: self._waits[claim].since if claim in self._waits else now for claim in claims}
        if now - min(since.values(), default=now) < PROBE_AFTER_S:
            self._answering = None
        elif now - self._probed >= PROBE_EVERY_S:
            answer = reader is not None and self._do_brokers_answer(reader, claims)
            self._probed = time.monotonic()
            self._answering = (self._answering or self._probed) if answer else None
        for claim, began in since.items():
            answered = 0.0 if self._answering is None else self._probed - max(self._answering, began)
            self._waits[claim] = Waiting(claim.partition, str(error).rstrip("."), began, max(answered, 0.0))

    def _do_brokers_answer(self, reader: PartitionReader, claims: Sequence[Claim]) -> bool:
        """Whether all brokers that a restore needs are there: the group's coordinator, and leaders.

        Then it is not an outage that is waited for. A transaction may hang, and hide the positions.
        """
        settings = self._settings
        timeout = _BRIEFLY_S if self._shards else min(_PROBE_TIMEOUT_S, settings.timeout)
        inputs = [TopicPartition(topic, claim.partition) for claim in claims for topic in settings.reads]
        logs = [
            TopicPartition(topic, claim.partition)
            for claim in claims
            for topic in settings.changelogs.values()
        ]
        try:
            reader.standing(inputs, timeout, self._topics.id_of, is_stable=False)
            for place in (*logs, *inputs):
                reader.high_watermark(place, timeout)
        except ClusterError as error:
            log.debug("claims wait for brokers: %s", error)
            return False
        return True

    def _pause(self, error: ClusterError) -> None:
        log.warning("restore is tried again: %s", error)
        time.sleep(self._settings.retry)

    def _look_at_topics(self, reader: PartitionReader) -> None:
        if self._looks or self._topics.seconds_to_look == 0.0:
            try:
                grown = self._moved_keys(self._topics.look(reader))
                if grown is not None and not self._shards and self._owned_now():
                    # Shards that run would go on with keys that come to others now: none of them may.
                    raise TopicReplaced(f"{grown}. This worker starts anew.")
            except TopicReplaced:
                raise
            except ClusterError as error:
                # Brokers are away, or a topic is: who needs it says so.
                log.debug("looking at the topics: %s", error)

    def _read(self, reader: PartitionReader) -> None:
        records, ends = reader.read(_BATCH, _IDLE_WAIT_S if self._shards else _STANDBY_WAIT_S)
        touched: dict[int, RestoringShard] = {}
        for place, rows in _by_partition(records).items():
            shard = self._routes.get(place)
            if shard is not None:
                self._waits.pop(shard.claim, None)
            if shard is None:
                self._standbys.take(reader, place, rows)
            elif self._take(reader, shard, place, rows):
                touched[shard.partition] = shard
        for place, end in ends.items():
            shard = self._routes.get(place)
            if shard is None:
                self._standbys.note_end(place, end)
            else:
                table = shard.tables[place]
                table.position = max(table.position, end)
                touched[shard.partition] = shard
        for shard in touched.values():
            if shard.done and shard.partition in self._shards:
                self._finish(reader, shard)

    def _take(
        self, reader: PartitionReader, shard: RestoringShard, place: TopicPartition, rows: Sequence[Message]
    ) -> bool:
        """Write changes into a shard's store; False when it cannot be written, which ends this shard only."""
        try:
            shard.take(place, rows)
        except StateError as error:
            self._detach(reader, shard)
            shard.store.close()
            self._answer(NotRestored(shard.claim, error))
            return False
        return True

    def _finish(self, reader: PartitionReader, shard: RestoringShard) -> None:
        self._detach(reader, shard)
        try:
            shard.require_origin()
            shard.note_complete()
        except StateError as error:
            shard.store.close()
            self._answer(NotRestored(shard.claim, error))
            return
        seconds = time.monotonic() - shard.started
        restored = Restored(
            shard.claim,
            shard.store,
            shard.positions,
            shard.records,
            seconds,
            shard.fence,
            shard.muted,
            shard.shadow,
        )
        if not self._answer(restored):
            shard.store.close()

    def _answer(self, result: Restored | NotRestored) -> bool:
        """Put a result, unless the claim is no longer wanted; each claim is answered once."""
        claim = result.claim
        with self._lock:
            if self._wanted.get(claim.partition) != claim.epoch:
                return False
            del self._wanted[claim.partition]
            self._waits.pop(claim, None)
            self.results.put(result)
        return True

    def _detach(self, reader: PartitionReader, shard: RestoringShard) -> None:
        reader.stop([place for place in shard.tables if place in self._routes])
        # Only now: were the call refused, the shard would still have to be answered for.
        self._shards.pop(shard.partition, None)
        for place in shard.tables:
            self._routes.pop(place, None)

    def _start_over(
        self, reader: PartitionReader | None, claims: Sequence[Claim], error: HoldfastError
    ) -> None:
        """Drop the reader and answer for what is under way; brokers that do not answer are asked again.

        What only a person can change, such as a right, is answered at once: tried for ever, the worker would
        look healthy.
        """
        again = {*(shard.claim for shard in self._shards.values()), *claims}
        for shard in self._shards.values():
            shard.store.close()
        self._shards.clear()
        self._routes.clear()
        self._standbys.suspend(reopen=not isinstance(error, BrokersUnreachable))
        pending = [claim for claim in again if self._is_wanted(claim)]
        passes = isinstance(error, ClusterError) and not is_lasting(error)
        if isinstance(error, ClusterError) and passes:
            self._note_waiting(reader, pending, error)
        if reader is not None:
            with contextlib.suppress(ClusterError):
                reader.close()
        if isinstance(error, ClusterError) and ((passes and pending) or self._standbys):
            self._pause(error)
        for claim in pending:
            if passes:
                self._requests.put(claim)
            else:
                self._answer(NotRestored(claim, error))


def _by_partition(records: Sequence[Message]) -> dict[TopicPartition, list[Message]]:
    # They come in runs of one partition: nothing in here is done for each record by the interpreter.
    found: defaultdict[TopicPartition, list[Message]] = defaultdict(list)
    for topic, of_topic in groupby(records, _TOPIC):
        for partition, run in groupby(of_topic, _PARTITION):
            found[TopicPartition(topic, partition)] += run
    return found
