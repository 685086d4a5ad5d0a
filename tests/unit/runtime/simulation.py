"""A worker's real loop, engine and commit pipeline against a simulated cluster.

Everything that the cluster does is chosen by a seed: how commits end, what of an unknown one took
effect, when shards come and go, which records make the handler raise. The cluster keeps what is
committed, so that the fold validator can judge it.
"""

from __future__ import annotations

import queue
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from holdfast import Context, Event, State
from holdfast.engine.handler import inspect_handler
from holdfast.engine.outputs import Router
from holdfast.engine.shard import ProcessorPlan
from holdfast.errors import CorruptStore, StoreError
from holdfast.kafka.consumer import Batch, OwnershipListener
from holdfast.kafka.transaction import ChangelogRows, Ending, Outcome
from holdfast.record import Output, TopicPartition
from holdfast.runtime.claims import Claim, NotRestored, Progress, Restored
from holdfast.runtime.commit import CommitPipeline, Finished
from holdfast.runtime.standby import StandbyStatus
from holdfast.runtime.status import Reported
from holdfast.runtime.worker import Worker, WorkerLimits
from holdfast.schema import EventDecoder, TopicEncoder, ValueCodec
from holdfast.testing import MemoryMessage, MemoryStore
from tests.support.events import Added, Folded, Sum

INPUTS = ("adds", "more")
SHARDS = 3


class Cluster:
    """What is committed: inputs, outputs, changelogs, offsets.

    Attributes:
        owned_as: the fencing token of each shard's present owner, which is noted with what it commits.
        fences: the tokens that are noted.
        unclaimed: shards with tokens that a handler was given before they were noted.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.inputs: dict[TopicPartition, list[MemoryMessage]] = {
            TopicPartition(topic, p): [] for topic in INPUTS for p in range(SHARDS)
        }
        self.outputs: list[Output] = []
        self.changelog: dict[TopicPartition, list[tuple[bytes, bytes | None]]] = {}
        self.offsets: dict[TopicPartition, int] = {}
        self.owned_as: dict[int, int] = {}
        self.fences: dict[int, int] = {}
        self.unclaimed: list[tuple[int, int]] = []
        self.calm = False

    def publish(self, count: int) -> None:
        """Append inputs to random partitions; a key belongs to one partition number."""
        for _ in range(count):
            topic, partition = self.rng.choice(INPUTS), self.rng.randrange(SHARDS)
            event = Added(key=f"{partition}-{self.rng.randrange(3)}", n=self.rng.randint(1, 9))
            log = self.inputs[TopicPartition(topic, partition)]
            message = MemoryMessage(
                topic,
                partition,
                # A control record now and then takes an offset.
                (log[-1].offset() + self.rng.choice([1, 1, 1, 2])) if log else 0,
                key=event.key.encode(),
                value=event.model_dump_json().encode(),
            )
            log.append(message)

    def end(self, place: TopicPartition) -> int:
        """The offset after the last record."""
        log = self.inputs[place]
        return log[-1].offset() + 1 if log else 0

    def commit(self, unit: Pending, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Make a transaction final."""
        self.outputs += unit.outputs
        ends = {}
        for place, rows in unit.rows:
            log = self.changelog.setdefault(place, [])
            log += rows
            ends[place] = len(log)
        self.offsets.update(positions)
        self.fences.update({place.partition: self.owned_as[place.partition] for place in positions})
        return ends

    def own(self, partition: int) -> int:
        """A new ownership of a shard; returns its fencing token."""
        self.owned_as[partition] = self.fences.get(partition, 0) + 1
        return self.owned_as[partition]

    def use(self, partition: int, token: int) -> None:
        """A handler is given a token."""
        if self.fences.get(partition) != token:
            self.unclaimed.append((partition, token))


class Pending:
    """An open transaction."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []
        self.rows: list[tuple[TopicPartition, list[tuple[bytes, bytes | None]]]] = []


class Writer:
    """A `UnitWriter` whose commits end as the seed says."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._open: Pending | None = None
        self.usable = True
        self.refuses_outputs = False
        self.fenced_in_a_row = 0

    def begin(self) -> None:
        """Open a transaction; there must be none."""
        assert self.usable, "the client was used after an unknown outcome"
        assert self._open is None
        self._open = Pending()

    def send(self, outputs: Iterable[Output], changelog: Iterable[ChangelogRows] = ()) -> None:
        """Take records."""
        assert self.usable
        assert self._open is not None
        self._open.outputs += list(outputs)
        self._open.rows += [(part.place, list(part.rows)) for part in changelog]

    def finish(self, positions: Mapping[TopicPartition, int], group_metadata: Any) -> Ending:  # noqa: ARG002
        """Commit, abort, or leave it open whether it was committed."""
        unit, self._open = self._open, None
        assert unit is not None
        rng = self._cluster.rng
        if self.refuses_outputs and unit.outputs:
            self.usable = False
            return Ending(Outcome.UNKNOWN, "simulated: outputs refused")
        chance = 1.0 if self._cluster.calm else rng.random()
        if chance < 0.08:
            return Ending(Outcome.ABORTED, "simulated")
        if chance < 0.16:
            self.usable = False
            if rng.random() < 0.5:
                self._cluster.commit(unit, positions)
            return Ending(Outcome.UNKNOWN, "simulated")
        if chance < 0.2 and self.fenced_in_a_row == 0:
            self.usable, self.fenced_in_a_row = False, 1
            return Ending(Outcome.FENCED, "simulated")
        if unit.outputs:
            # A commit of nothing but claims ends no row.
            self.fenced_in_a_row = 0
        return Ending(Outcome.COMMITTED, changelog_ends=self._cluster.commit(unit, positions))

    def conclude(self, ending: Ending, positions: Mapping[TopicPartition, int]) -> Ending:  # noqa: ARG002
        """Nothing is left to do."""
        return ending

    def abandon(self) -> Ending:
        """Abort the open transaction."""
        assert self._open is not None
        self._open = None
        if not self._cluster.calm and self._cluster.rng.random() < 0.2:
            self.usable = False
            return Ending(Outcome.UNKNOWN, "simulated")
        return Ending(Outcome.ABORTED, "given up")

    def reopen(self) -> None:
        """A new client."""
        self.usable, self._open = True, None

    def close(self) -> None:
        """Nothing to let go of."""


class Pipeline(CommitPipeline):
    """The real pipeline; commits are on their way for as many turns as the seed says."""

    def __init__(self, cluster: Cluster, writer: Writer) -> None:
        super().__init__(writer, {"sums": "log"})
        self._cluster = cluster

    def take(self, wait: float | None = 0.0) -> Finished | None:
        """The end of a commit, which whoever does not wait may have to ask for again."""
        if wait is not None and not self._cluster.calm and self._cluster.rng.random() < 0.5:
            return None
        return super().take(wait)


class Consumer:
    """A `ShardConsumer` that hands out runs of records, and shards, as the seed says."""

    def __init__(self, cluster: Cluster, listener: OwnershipListener) -> None:
        self._cluster = cluster
        self._listener = listener
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._stopped: set[TopicPartition] = set()
        self._owned: set[int] = set()
        self._fresh: set[TopicPartition] = set()
        self._in_callback = False
        self.rebalances = 0
        self.is_remote = False

    def fetch(self, most: int, wait: float) -> Batch:  # noqa: ARG002
        """Records that lay in the queue, then perhaps a rebalance, as in the client."""
        self._stopped.clear()
        batch = Batch()
        rng = self._cluster.rng
        # Records of remote brokers come with the fetch after the first.
        late, self._fresh = (self._fresh if self.is_remote else set()), set()
        for place in rng.sample(sorted(self._positions), len(self._positions)):
            if place in self._paused or place in late or rng.random() < 0.3:
                continue
            log = [m for m in self._cluster.inputs[place] if m.offset() >= self._positions[place]]
            run = log[: rng.randint(1, 5)]
            if run:
                batch.records[place.topic, place.partition] += run
                self._positions[place] = run[-1].offset() + 1
            if len(run) == len(log):
                end = self._cluster.end(place)
                batch.ends[place] = max(end, self._positions[place])
        if (not self._cluster.calm and rng.random() < 0.1) or not self._owned:
            self._rebalance()
        batch.drop(self._stopped)
        return batch

    def _rebalance(self) -> None:
        rng = self._cluster.rng
        self.rebalances += 1
        self._in_callback = True
        taken = [p for p in self._owned if rng.random() < 0.5]
        if taken:
            tell = rng.choice([self._listener.revoked, self._listener.lost])
            tell(sorted(taken))
            self.stop([p for p in self._positions if p.partition in taken])
            self._owned.difference_update(taken)
        given = [
            p for p in range(SHARDS) if p not in self._owned and (self._cluster.calm or rng.random() < 0.8)
        ]
        if given:
            self._owned.update(given)
            self._listener.assigned(given)
        self._in_callback = False

    def give_all(self) -> None:
        """Own every shard."""
        self._in_callback = True
        missing = [p for p in range(SHARDS) if p not in self._owned]
        self._owned.update(missing)
        self._listener.assigned(missing)
        self._in_callback = False

    def start(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read from here; never inside a rebalance."""
        assert not self._in_callback, "reading was started inside a rebalance"
        for place in positions:
            assert place.partition in self._owned
            assert place not in self._positions
        self._positions.update(positions)
        self._fresh.update(positions)
        self._paused.difference_update(positions)

    def stop(self, partitions: Iterable[TopicPartition]) -> None:
        """Read no longer."""
        for place in list(partitions):
            if place in self._positions:
                del self._positions[place]
                self._stopped.add(place)

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Hand out no more."""
        self._paused.update(p for p in partitions if p in self._positions)

    def seek(self, place: TopicPartition, offset: int) -> None:
        """Read again from here, which was just handed out."""
        assert not self._in_callback
        assert offset < self._positions[place]
        self._positions[place] = offset

    def group_metadata(self) -> Any:
        """Not looked at."""
        return None

    def close(self) -> None:
        """Leave."""
        self._in_callback = True
        self._listener.revoked(sorted(self._owned))
        self._in_callback = False


class LocalStore(MemoryStore):
    """A shard's local state on a simulated disk, open in one place at a time."""

    path = Path("simulated")
    is_open = False

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self._faults = faults

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value under `key`, unless the disk has a fault just now."""
        assert self.is_open
        self._faults.strike()
        return super().get(table, key)

    def close(self) -> None:
        """Let go of it."""
        self.is_open = False


class Faults:
    """When reading from the simulated disk fails."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.next: list[StoreError] = []
        self.always: StoreError | None = None
        self.chance = 0.0

    def strike(self) -> None:
        """Raise what is due."""
        if self.always is not None:
            raise self.always
        if self.next:
            raise self.next.pop()
        if self.chance and self._rng.random() < self.chance:
            raise self._rng.choice([StoreError, CorruptStore])("simulated")


class InstantRestorer:
    """Restores from the cluster when asked."""

    def __init__(self, cluster: Cluster, disk: dict[int, LocalStore], faults: Faults) -> None:
        self.results: queue.SimpleQueue[Restored | NotRestored] = queue.SimpleQueue()
        self.replaced = None
        self.standbys = StandbyStatus()
        self.asked: Counter[int] = Counter()
        self._cluster = cluster
        self._disk = disk
        self._faults = faults

    def confirm_topics(self) -> None:
        """They are never replaced here."""

    def ask(self, claim: Claim) -> None:
        """Restore at once."""
        self.asked[claim.partition] += 1
        cluster = self._cluster
        place = TopicPartition("log", claim.partition)
        store = self._disk.setdefault(claim.partition, LocalStore(self._faults))
        assert not store.is_open, "two owners of one store"
        store.is_open = True
        log = cluster.changelog.get(place, [])
        begin = store.checkpoint("sums") or 0
        assert begin <= len(log), "the local state is ahead of the changelog"
        store.apply({"sums": log[begin:]}, {"sums": len(log)})
        positions = {t: cluster.offsets.get(TopicPartition(t, claim.partition), 0) for t in INPUTS}
        fence = cluster.own(claim.partition)
        self.results.put(Restored(claim, store, positions, 0, 0.0, fence))  # type: ignore[arg-type]

    def cancel(self, partition: int) -> None:
        """Results that are there stay there."""

    def released(self, partition: int) -> None:
        """Nothing is kept warm here."""

    def progress(self) -> tuple[Progress, ...]:
        """Never under way."""
        return ()

    def close(self) -> None:
        """Close what nobody took."""
        while not self.results.empty():
            result = self.results.get()
            if isinstance(result, Restored):
                result.store.close()


class Silent:
    """A reporter that notes failures."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def report(self, worker: Reported) -> None:
        """Nobody listens."""

    def failed(self, partition: int, message: str, stack: str) -> None:  # noqa: ARG002
        """Note it."""
        self.failures.append(message)


class Poison:
    """Which inputs make the handler raise."""

    def __init__(self) -> None:
        self.places: set[tuple[str, int, int]] = set()


def make_plan(poison: Poison, cluster: Cluster) -> ProcessorPlan:
    """The fold, with poison, and with a look at the fencing token."""

    def handle(event: Added, sums: State[Sum], at: Context) -> Folded:
        cluster.use(at.partition, at.fencing_token)
        before = sums.get() or Sum()
        now = Sum(count=before.count + 1, total=before.total + event.n)
        sums.set(now)
        if (at.topic, at.partition, at.offset) in poison.places:
            raise ValueError("poison")
        return Folded(
            key=event.key,
            topic=at.topic,
            partition=at.partition,
            offset=at.offset,
            n=event.n,
            count=now.count,
            total=now.total,
        )

    events: list[type[Event]] = [Folded]
    return ProcessorPlan(
        name="counter",
        handler=inspect_handler(handle),
        decoders={topic: EventDecoder([Added]) for topic in INPUTS},
        tables={"sums": ValueCodec(Sum)},
        router=Router("counter", {"out": TopicEncoder("out", events, "key")}, {"out": 1_000_000}),
        dead_letter_topic="letters",
    )


class Simulation:
    """One worker, from its first life to its last."""

    def __init__(self, seed: int, commit_interval: float | None = None) -> None:
        self.rng = random.Random(seed)
        self._interval = commit_interval
        self.cluster = Cluster(self.rng)
        self.poison = Poison()
        self.reporter = Silent()
        self.faults = Faults(self.rng)
        self.disk: dict[int, LocalStore] = {}
        self.lives = 0
        self.begin_life()

    def begin_life(self, limits: WorkerLimits | None = None) -> None:
        """Start the worker as a new process would, with limits of the seed's choice unless some are given."""
        self.lives += 1
        self.writer = Writer(self.cluster)
        self.restorer = InstantRestorer(self.cluster, self.disk, self.faults)
        self.pipeline = Pipeline(self.cluster, self.writer)

        def connect(listener: OwnershipListener) -> Any:
            self.consumer = Consumer(self.cluster, listener)
            return self.consumer

        drawn = WorkerLimits(
            commit_interval=self.rng.choice([0.0, 0.0, 0.002]) if self._interval is None else self._interval,
            cache_entries=self.rng.choice([2, 100]),
            failed_units=1_000,
        )
        self.worker = Worker(
            make_plan(self.poison, self.cluster),
            limits or drawn,
            connect,
            self.restorer,
            self.pipeline,
            self.reporter,  # type: ignore[arg-type]
        )

    def end_life(self) -> None:
        """Let go of it without any last commit, as a kill does."""
        self.worker.close()

    def inputs(self) -> list[tuple[str, int, int, str, int]]:
        """Every input, for the fold validator."""
        return [
            (m.topic(), m.partition(), m.offset(), e.key, e.n)
            for log in self.cluster.inputs.values()
            for m in log
            for e in [Added.model_validate_json(m.value() or b"")]
        ]

    def outputs(self) -> list[Folded]:
        """Every committed output."""
        return [Folded.model_validate_json(o.value or b"") for o in self.cluster.outputs if o.topic == "out"]

    @property
    def drained(self) -> bool:
        """Whether every input is handled and committed."""
        ends = {p: self.cluster.end(p) for p in self.cluster.inputs}
        return all(self.cluster.offsets.get(p, 0) >= end for p, end in ends.items())
