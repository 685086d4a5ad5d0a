"""An application under test: its topics on the brokers, its workers, what it wrote."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from holdfast.chaos.gates.gates import Gates
from holdfast.chaos.lab.base import Lab
from holdfast.chaos.lab.workers import Workers
from holdfast.chaos.workloads.application_parts import (
    SLOT,
    first_of,
    groups_of,
    load_application,
    shards_of,
    specs_of,
)
from holdfast.chaos.workloads.gated import gated_specs, gated_topology
from holdfast.chaos.workloads.groups import GroupPlan
from holdfast.checks import CheckResult, run_checks
from holdfast.errors import ChaosError
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.drain import DrainWatch, group_inputs
from holdfast.kafka.producer import Producer
from holdfast.kafka.provision import provision
from holdfast.kafka.scan import LogScanner
from holdfast.kafka.topic_reader import ClusterTopicReader
from holdfast.runtime.supervisor import WorkerSpec
from holdfast.schema import Event
from holdfast.topology import ResolvedTopology

READY_S = 60.0
"""Seconds for workers to run all shards."""


class ApplicationUnderTest:
    """The application of a topology file on the brokers of a test.

    Args:
        file: the topology file.
        lab: the brokers.
        home: for the workers' data and logs.

    Raises:
        TopologyError: the file holds mistakes.
        ClusterError: its topics cannot be created.
    """

    def __init__(self, file: Path, lab: Lab, home: Path) -> None:
        self.resolved: ResolvedTopology = load_application(file)
        self._lab = lab
        self._home = home
        self.topology = self.resolved.topology
        self._running: tuple[Workers, int] | None = None
        self._groups: tuple[GroupPlan, ...] = ()
        self._gates: Gates | None = None
        provision(TopicAdmin(lab.bootstrap_servers), self.topology)

    @property
    def group(self) -> str:
        """The group of its first processor, which roles such as `group coordinator` are about."""
        return first_of(self.topology).group_id

    @property
    def source(self) -> str:
        """The first topic that its first processor reads, which the role `leader` is about."""
        return first_of(self.topology).reads[0]

    @property
    def transactional_id(self) -> str:
        """The `transactional.id` of its worker 0, which the role `transaction coordinator` is about."""
        return first_of(self.topology).slot_id(f"{SLOT}-0")

    @property
    def workers(self) -> Workers:
        """Its workers, while they run.

        Raises:
            ChaosError: none do.
        """
        return self._require_running()[0]

    @property
    def workers_each(self) -> int:
        """How many of them each processor has; one that a fault has taken away is counted.

        Raises:
            ChaosError: none do.
        """
        return self._require_running()[1]

    def _require_running(self) -> tuple[Workers, int]:
        if self._running is None:
            raise ChaosError("the application has no workers: use `with topology.running(workers=2):`")
        return self._running

    @property
    def groups(self) -> tuple[GroupPlan, ...]:
        """Its groups, while it has workers."""
        return self._groups

    @property
    def gates(self) -> Gates | None:
        """What stands before its sinks; None if nothing does."""
        return self._gates

    @contextmanager
    def running(self, workers: int = 2, *, gates: Sequence[str] = ()) -> Iterator[Workers]:
        """Run so many workers of each processor while the block lasts; they own all shards when it begins.

        There are as many candidates if the application has leader tasks, and one of them leads.

        Args:
            workers: how many there are of each processor.
            gates: the sinks that faults will be aimed at: workers reach them through a gate.

        Raises:
            ChaosError: a sink can have no gate, or its address is not known.
            FaultFailed: they do not own all shards in time.
            TopologyError: there is no such sink.
        """
        with ExitStack() as stack:
            if gates:
                self._gates = stack.enter_context(Gates(self.topology, gates))
            specs = self._specs(workers)
            made = stack.enter_context(Workers(specs, shards_of(self.topology)))
            self._running, self._groups = (made, workers), groups_of(self.topology, workers)
            try:
                for name in made.names:
                    made.start(name)
                made.wait_until_whole(READY_S)
                yield made
            finally:
                self._running, self._groups = None, ()
                self._gates = None

    def _specs(self, workers: int) -> Mapping[str, WorkerSpec]:
        declared, servers = self.topology, self._lab.bootstrap_servers
        if self._gates is None:
            return specs_of(declared, servers, self._home, workers)
        led = gated_topology(declared, self._gates, self._home / "topology.yaml")
        return gated_specs(specs_of(led, servers, self._home, workers), declared, self._gates)

    def publish(self, *events: Event) -> None:
        """Publish events to the topics that declare them, and wait for their acknowledgement.

        Raises:
            PublishError: one was not delivered.
        """
        with Producer.for_topics(
            self.resolved.topics.values(),
            self._lab.bootstrap_servers,
            source=self.topology.app,
            properties=self.topology.kafka,
        ) as producer:
            for event in events:
                producer.publish(event)

    def wait_until_drained(self, within: float = 60.0) -> None:
        """Wait until every processor has handled and committed all that is there.

        Raises:
            ChaosError: not in time; tells what waits.
        """
        began = time.monotonic()
        with DrainWatch(self._lab.bootstrap_servers, group_inputs(self.topology)) as watch:
            while not watch.is_drained(began):
                if time.monotonic() - began > within:
                    lag: Mapping[str, int] = watch.last.found.lag if watch.last else {}
                    raise ChaosError(f"not all is processed within {within:.0f} s; to go: {dict(lag)}")
                time.sleep(0.1)

    def events(self, topic: str) -> list[Any]:
        """The committed events of a topic, in order within each partition."""
        return [recorded.event for recorded in self._reader().events(topic)]

    def check(self) -> None:
        """Check what the topology file declares under `checks`.

        Raises:
            AssertionError: one does not hold; tells what is wrong.
            ChaosError: it declares none.
        """
        if not self.resolved.checks:
            raise ChaosError(f"{self.topology.source.path} declares no `checks`")
        found = run_checks(self.resolved.checks, self._reader())
        broken = [line for one in found if not one.ok for line in _told(one)]
        if broken:
            raise AssertionError("\n".join(broken))

    def delete(self) -> None:
        """Delete all topics but Kafka's own, for the next test: the brokers are this session's."""
        admin = TopicAdmin(self._lab.bootstrap_servers)
        admin.delete(list(admin.topics()))

    def _reader(self) -> ClusterTopicReader:
        return ClusterTopicReader(self.resolved, LogScanner(self._lab.bootstrap_servers))


def _told(broken: CheckResult) -> list[str]:
    """What is wrong, a line each; one at least, as a check need not give examples."""
    counts = ", ".join(f"{name} {number}" for name, number in broken.counts.items())
    examples = broken.examples or (f"it does not hold{f' ({counts})' if counts else ''}",)
    return [f"{broken.name}: {example}" for example in examples]
