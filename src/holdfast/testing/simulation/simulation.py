"""One run: an application's workers on simulated brokers, under faults, from the first record to the verdict.

storm    events are published while everything goes wrong that may
calm     all is mended; every record must be handled within a bound of virtual time
change   a worker leaves in good order and comes back; nobody may fail
check    what readers of committed records see is judged
"""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from holdfast.checks import TopicReader
from holdfast.engine.outputs import Router
from holdfast.engine.plan import RECORD_BYTES
from holdfast.kafka.client import AdminClient, Consumer, Producer
from holdfast.kafka.partitioner import partition_of
from holdfast.record import TopicPartition
from holdfast.runtime import assembly
from holdfast.runtime.replay_steps import inputs_of
from holdfast.runtime.store import RocksStore, StoreMemory
from holdfast.schema import Event, Tombstone, TopicEncoder
from holdfast.schema.strict import refuse_misfits
from holdfast.testing.simulation.application import chosen_checks, resolved_application
from holdfast.testing.simulation.checker import changelog_problems, store_problems
from holdfast.testing.simulation.client import SimAdmin, SimCluster
from holdfast.testing.simulation.consumer import SimConsumer
from holdfast.testing.simulation.failures import SimulationError, SimulationFailed
from holdfast.testing.simulation.faults import Faults, Nemesis
from holdfast.testing.simulation.kernel import Kernel
from holdfast.testing.simulation.operator import Operator
from holdfast.testing.simulation.producer import SimProducer
from holdfast.testing.simulation.reading import CommittedLog
from holdfast.testing.simulation.stand_ins import Current, installed, machine
from holdfast.testing.simulation.store import DISK_FAULT, Disks
from holdfast.testing.simulation.workers import End, WorkerSlot
from holdfast.topology.model import Topology

CALM_S = 120.0
"""Virtual seconds after the last fault within which everything must be handled. The longest things that are
waited for one after the other are the patience with a commit (15 s), a transaction's timeout with the
brokers' sweep (20 s), requests on their way (25 s) and pauses between tries."""

RESTARTED_AFTER_S = 20.0
"""Calm seconds after which an operator restarts workers that a disk's fault has stopped."""

MOST_STEPS = 400_000
"""Events in one run above which it is taken to go round in a circle."""

_REPLAYED = 0.25
"""The share of runs with replays whose processors are replayed once more when all is calm."""

Check = Callable[[TopicReader], Iterable[str]]
"""Reads what was committed, and says what is wrong with it."""


class Simulation:
    """A topology's native processors under faults, in one thread, by a seed.

    Args:
        topology: the declaration, or the file that holds it. Faust processors are left out.
        seed: decides everything that is left to chance.
        workers: how many workers each processor has.
        check: judges what was committed; each text that it gives is a problem.
        checks: declared checks that must hold, by the names of their functions.
        faults: how bad it gets.
        storm: virtual seconds with faults; by default as the seed says.
        repeat: the line that repeats the run, for the message of a failure.

    Attributes:
        kernel: virtual time; `kernel.at(seconds, function)` does something in the course of the run.
        disks: the workers' disks.
        slots: the workers.
        operator: who replays, if replays are among the faults.
        ends: lives of workers that ended with an error.
    """

    __test__ = False

    def __init__(
        self,
        topology: Topology | str | Path,
        *,
        seed: int,
        workers: int | None = None,
        check: Check | None = None,
        checks: Iterable[str] = (),
        faults: Faults = Faults(),  # noqa: B008 - it is frozen
        storm: float | None = None,
        repeat: str | None = None,
    ) -> None:
        self.seed = seed
        self.kernel = kernel = Kernel(seed)
        self._resolved = resolved = resolved_application(topology, kernel.rng)
        self._encoders = {
            name: TopicEncoder(name, topic.events, topic.decl.key) for name, topic in resolved.topics.items()
        }
        self._check = check
        self._checks = chosen_checks(resolved, checks)
        self._repeat = repeat or f"Simulation(..., seed={seed}).run()"
        self._storm = kernel.rng.uniform(6.0, 14.0) if storm is None else storm
        self._timeout = kernel.rng.choice([1.0, 3.0, assembly.CALL_TIMEOUT_S])
        self._cluster = cluster = SimCluster.on(kernel)
        self.brokers, self.groups, self.transactions = cluster.brokers, cluster.groups, cluster.transactions
        self.groups.on_commit = self._on_commit
        self.disks = Disks(kernel)
        self.ends: list[End] = []
        self.problems: list[str] = []
        self._published: list[tuple[str, Event | Tombstone, int]] = []
        self._kept_back: list[tuple[str, Event | Tombstone, int]] = []
        self._written: list[tuple[str, int, int, Any]] = []
        self._reached: dict[tuple[str, TopicPartition], int] = {}
        self._create_topics()
        self.slots = self._make_slots(workers)
        self.operator = Operator(kernel, resolved.topology, self.ends.append)
        self._replays = faults.replay
        self.nemesis = Nemesis(
            kernel,
            self.brokers,
            self.groups,
            self.disks,
            self.slots,
            self.operator,
            faults,
            self._readers(),
        )

    def _create_topics(self) -> None:
        for spec in self._resolved.topology.topic_specs():
            self.brokers.create(
                spec.name, spec.partitions, compacted=spec.config.get("cleanup.policy") == "compact"
            )

    def _make_slots(self, workers: int | None) -> list[WorkerSlot]:
        count = workers if workers is not None else self.kernel.rng.choice([1, 2, 2, 3])
        return [
            WorkerSlot(self.kernel, self._resolved, processor, f"sim-{number}", self.ends.append)
            for processor in self._resolved.processors.values()
            for number in range(count)
        ]

    # -- what a test does

    @property
    def log(self) -> TopicReader:
        """Everything that was committed so far."""
        return CommittedLog(self.brokers, self._resolved)

    @property
    def written(self) -> list[tuple[str, int, int, Any]]:
        """What was published: topic, partition, offset and event."""
        return self._written

    @property
    def trace(self) -> list[str]:
        """What happened, line by line; kept from the first time that it is asked for."""
        if self.kernel.trace is None:
            self.kernel.trace = []
        return self.kernel.trace

    def publish(self, topic: str, *events: Event | Tombstone, timestamp: int = 0) -> None:
        """Publish events in the course of the storm, those of one topic in their order.

        Args:
            topic: a declared topic.
            events: events or tombstones of it.
            timestamp: their time, milliseconds since the epoch; the time of writing if 0.

        Raises:
            TopologyError: the topic is not declared.
        """
        self._resolved.topology.topic(topic)
        self._published += [(topic, event, timestamp) for event in events]

    def produce(self, producer: str, **arguments: Any) -> int:
        """Publish everything that a declared producer yields, and return how many events that were.

        Raises:
            TopologyError: the producer is not declared.
            UndeclaredOutput: it yields what its `writes` do not allow.
        """
        self._resolved.topology.producer(producer)
        resolved = self._resolved.producers[producer]
        encoders = {topic.decl.name: self._encoders[topic.decl.name] for topic in resolved.writes}
        router = Router(producer, encoders, dict.fromkeys(encoders, RECORD_BYTES), kind="producer")
        count = 0
        for count, event in enumerate(resolved.source(**arguments), start=1):  # noqa: B007 - its last value is the result
            self.publish(router.one(event, 0).topic, event)
        return count

    def run(self) -> None:
        """Run it.

        Raises:
            SimulationFailed: a rule was broken; the message says which, and how to see it again.
        """
        with _quiet(), installed(self._stand_ins()), self._knobs():
            try:
                self._run()
            except SimulationError as error:
                self.problems.append(str(error))
            self._verify()
            self._release()
        if self.problems:
            raise SimulationFailed(self.seed, self.problems, self._repeat)

    # -- phases

    def _run(self) -> None:
        kernel = self.kernel
        self._spread()
        for slot in self.slots:
            kernel.at(kernel.rng.uniform(0.0, 0.5), slot.start)
        self.nemesis.start()
        kernel.run(lambda: False, self._storm, MOST_STEPS)
        kernel.say("calm")
        self.nemesis.end()
        if not self._drain(CALM_S):
            return
        if self.brokers.late_until > kernel.now:
            # What comes late may still fence somebody, who hears of it with a heartbeat.
            kernel.run(lambda: False, self.brokers.late_until + 3.0, MOST_STEPS)
        if self._replays and kernel.rng.random() < _REPLAYED:
            self._replay()
        self._change()
        self._stop_all()

    def _stop_all(self) -> None:
        """Ask all workers to stop, and wait for it."""
        for slot in self.slots:
            slot.stop()
        gone = self.kernel.run(
            lambda: not any(s.lives for s in self.slots), self.kernel.now + CALM_S, MOST_STEPS
        )
        if not gone:
            self.problems.append("workers did not stop in time when they were asked to")

    def _replay(self) -> None:
        """Replay every processor in calm weather, while nobody works: nothing may keep anybody from it."""
        kernel, operator = self.kernel, self.operator
        self._stop_all()
        # A static member that has ended counts until its session is over.
        session = max(it.decl.session_timeout_ms for it in self._resolved.processors.values()) / 1000
        kernel.run(lambda: False, kernel.now + session + 1.0, MOST_STEPS)
        for processor in self._resolved.processors.values():
            before = operator.done
            operator.replay(processor.decl, lambda: None)
            kernel.run(lambda: not operator.works, kernel.now + CALM_S, MOST_STEPS)
            inputs = inputs_of(self._resolved.topology, processor.decl)
            if operator.done == before and all(self.brokers.logs[p].start == 0 for p in inputs):
                self.problems.append(f"a replay in calm weather failed: {operator.last}")
        for slot in self.slots:
            slot.bring_back()

    def _change(self) -> None:
        """Let one worker leave in good order and come back: in calm weather nobody may fail."""
        kernel = self.kernel
        # What a worker began in the storm may still fail.
        now = kernel.now
        kernel.run(lambda: all(s.turned_at > now for s in self.slots), now + CALM_S, MOST_STEPS)
        if not self._drain(CALM_S):
            return
        before = len(self.ends)
        slot = kernel.rng.choice(self.slots)
        slot.stop()
        kernel.run(lambda: not slot.lives, kernel.now + CALM_S, MOST_STEPS)
        # Longer than a session: the others take its shards over.
        kernel.run(lambda: False, kernel.now + kernel.rng.choice([0.5, 4.0]), MOST_STEPS)
        slot.bring_back()
        kernel.run(lambda: False, kernel.now + 2.0, MOST_STEPS)
        self._publish_again()
        if self._drain(CALM_S):
            # A shard that the storm's disk stopped may take its worker along only now.
            self.problems += [
                f"{end.worker} ended in calm weather: {end.error}"
                for end in self.ends[before:]
                if DISK_FAULT not in end.error
            ]

    def _drain(self, within: float) -> bool:
        kernel, deadline = self.kernel, self.kernel.now + within
        while not kernel.run(self._is_drained, min(kernel.now + RESTARTED_AFTER_S, deadline), MOST_STEPS):
            if kernel.now >= deadline:
                break
            self.nemesis.restart_failed()
        else:
            return True
        behind = [
            f"{place} of {name}: {self._offset(name, place)} of {self.brokers.logs[place].end}"
            for name, place in self._inputs()
            if self._offset(name, place) < self.brokers.logs[place].end
        ]
        last = f"; last end of a worker: {self.ends[-1].error}" if self.ends else ""
        self.problems.append(
            f"no end within {within:.0f} calm seconds; behind: {', '.join(behind) or 'transactions'}{last}"
        )
        return False

    def _is_drained(self) -> bool:
        if self.transactions.any_open or self.operator.works:
            # An operator who was stopped for a while may still set a group back.
            return False
        return all(
            self._offset(name, place) >= self.brokers.logs[place].end for name, place in self._inputs()
        )

    def _inputs(self) -> Iterator[tuple[str, TopicPartition]]:
        for processor in self._resolved.processors.values():
            for place in inputs_of(self._resolved.topology, processor.decl):
                yield processor.decl.group_id, place

    def _offset(self, group: str, place: TopicPartition) -> int:
        return self.groups.group(group).offsets.get(place, (0, ""))[0]

    def _verify(self) -> None:
        log = self.log
        self.problems += [f"a bug in {e.worker}: {e.error}" for e in self.ends if not e.foreseen]
        if self.problems and self.problems[-1].startswith("no end"):
            return
        for processor in self._resolved.processors.values():
            self.problems += changelog_problems(self.brokers, processor)
        self.problems += store_problems(self.brokers, self.disks, self._resolved)
        if self._check is not None:
            self.problems += self._check(log)
        for check in self._checks:
            result = check(log)
            if not result.ok:
                self.problems.append(f"{result.name}: {'; '.join(result.examples)}")

    def _release(self) -> None:
        for slot in self.slots:
            if slot.process is not None:
                self.kernel.kill(slot.process)
        if self.operator.process is not None:
            self.kernel.kill(self.operator.process)

    # -- parts

    @contextmanager
    def _knobs(self) -> Iterator[None]:
        """Let calls time out sooner in some runs, so that more of them do."""
        usual = assembly.CALL_TIMEOUT_S
        assembly.CALL_TIMEOUT_S = self._timeout
        try:
            yield
        finally:
            assembly.CALL_TIMEOUT_S = usual

    def _stand_ins(self) -> dict[int, Any]:
        kernel, cluster = self.kernel, self._cluster
        current = Current(kernel)
        return {
            **machine(kernel),
            id(Consumer): lambda settings: SimConsumer(cluster, current(), settings),
            id(Producer): lambda settings: SimProducer(cluster, current(), settings),
            id(AdminClient): lambda settings: SimAdmin(cluster, current(), settings),
            id(RocksStore): self.disks.store_class(),
            id(StoreMemory): lambda: None,
        }

    def _readers(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for processor in self._resolved.processors.values():
            for topic in processor.decl.reads:
                found[topic] = (*found.get(topic, ()), processor.decl.group_id)
        return found

    def _on_commit(self, group: str, place: TopicPartition, offset: int) -> None:
        reached = self._reached.get((group, place), 0)
        if offset < reached and not self.operator.sets_back(group, place, offset):
            self.problems.append(f"{group}: the position in {place} went back from {reached} to {offset}")
        self._reached[group, place] = offset

    def _spread(self) -> None:
        rng = self.kernel.rng
        kept = max(len(self._published) // 10, 1)
        self._published, self._kept_back = self._published[:-kept], self._published[-kept:]
        times: dict[str, list[float]] = {}
        for topic, _, _ in self._published:
            times.setdefault(topic, []).append(rng.uniform(0.0, 0.95 * self._storm))
        for each in times.values():
            each.sort(reverse=True)
        for topic, event, timestamp in self._published:
            self.kernel.at(times[topic].pop(), self._write, topic, event, timestamp)

    def _publish_again(self) -> None:
        """Write the events that were kept for the time when all is calm."""
        for topic, event, timestamp in self._kept_back:
            self._write(topic, event, timestamp)

    def _write(self, topic: str, event: Event | Tombstone, timestamp: int) -> None:
        key, value, headers = self._encoders[topic].encode(event)
        count = self._resolved.topics[topic].decl.partitions
        number = partition_of(key, count) if key is not None else self.kernel.rng.randrange(count)
        place = TopicPartition(topic, number)
        time = timestamp or int(self.kernel.now * 1000)
        row = (key, value, time, list(headers) if headers else None)
        offset = self.brokers.logs[place].write([row], self.kernel.now)
        self._written.append((topic, number, offset, event))
        self.brokers.moved.fire()


@contextmanager
def _quiet() -> Iterator[None]:
    """What thousands of simulated workers log is no news; and a run ends before its garbage matters."""
    log = logging.getLogger("holdfast")
    collects = gc.isenabled()
    gc.disable()
    level, log.level = log.level, logging.CRITICAL + 1
    log.manager._clear_cache()  # type: ignore[attr-defined] # as `setLevel` does
    try:
        with warnings.catch_warnings():
            refuse_misfits()
            yield
    finally:
        log.setLevel(level)
        if collects:
            gc.enable()
