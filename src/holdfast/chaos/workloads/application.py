"""The workload `application`: all that a topology file declares, under the load of its own producers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.chaos.clients.load import Load
from holdfast.chaos.gates.gates import Gates
from holdfast.chaos.history import Recorder, read
from holdfast.chaos.lab.workers import Workers
from holdfast.chaos.workloads.application_load import number_of, published, with_seed
from holdfast.chaos.workloads.application_parts import (
    SLOT,
    first_of,
    groups_of,
    last_output,
    outputs_of,
    shards_of,
    slots_of,
    specs_of,
)
from holdfast.chaos.workloads.gated import gated_specs, gated_topology
from holdfast.chaos.workloads.groups import GroupPlan, TopicSize
from holdfast.chaos.workloads.last_reader import LastReader
from holdfast.checks import CheckResult, run_checks
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.provision import provision
from holdfast.kafka.scan import LogScanner
from holdfast.kafka.topic_reader import ClusterTopicReader
from holdfast.runtime.sources import Arguments
from holdfast.runtime.supervisor import WorkerSpec
from holdfast.topology import ResolvedTopology
from holdfast.topology.model import LEADER


class ApplicationWorkload:
    """An application in one run.

    Args:
        resolved: the application.
        folder: for its workers' data, and for the file that they read if that is another.
        servers: the brokers.
        workers: how many workers each processor has.
        fresh_s: how new an output is that counts as fresh.
        output: the topic that is watched; None for the last one that nobody in the application reads.
        arguments: what its producers are given.
        checks: which of its checks are made, as its file names them; all of them, unless given.
        gates: what stands before its sinks, and where its workers are led; None if nothing does.
    """

    plan = None

    def __init__(
        self,
        resolved: ResolvedTopology,
        folder: Path,
        servers: str,
        *,
        workers: int,
        fresh_s: float,
        output: str | None = None,
        arguments: Arguments | None = None,
        checks: Sequence[str] = (),
        gates: Gates | None = None,
    ) -> None:
        self.resolved = resolved
        self.topology = topology = resolved.topology
        self._folder = folder
        self._servers = servers
        self._workers = workers
        self._arguments = arguments or {}
        self._checks = {name: resolved.checks[name] for name in checks} if checks else resolved.checks
        self._gates = gates
        self._running = (
            topology if gates is None else gated_topology(topology, gates, folder / "topology.yaml")
        )
        self._first = first_of(topology)
        watched = output or last_output(topology)
        assert watched is not None, "the experiment was checked: there is an output"
        self.watched = TopicSize(watched, topology.topic(watched).partitions)
        self.fresh_s = fresh_s
        self.source = self._first.reads[0]
        self.outputs = outputs_of(topology)
        self.shards = shards_of(topology)
        self.group = self._first.group_id
        self.transactional_id = self._first.slot_id(f"{SLOT}-0")

    @property
    def facts(self) -> Mapping[str, Any]:
        """Which application it is, and which workers are of which processor."""
        by_processor: dict[str, list[str]] = {}
        for it in slots_of(self.topology, self._workers):
            by_processor.setdefault("leader tasks" if it.processor == LEADER else it.processor, []).append(
                it.name
            )
        return {
            "topology": str(self.topology.source.path.resolve()),
            "output": self.watched.topic,
            **{f"workers of {name}": ", ".join(names) for name, names in by_processor.items()},
        }

    # -- who works

    def groups(self, workers: int) -> tuple[GroupPlan, ...]:
        """Those of all processors, and of the candidates."""
        return groups_of(self.topology, workers)

    def names(self, workers: int) -> tuple[str, ...]:
        """So many workers of each processor, and as many candidates."""
        return tuple(it.name for it in slots_of(self.topology, workers))

    def provision(self) -> None:
        """Create the topics."""
        provision(TopicAdmin(self._servers), self.topology)

    def specs(self, workers: int) -> dict[str, WorkerSpec]:
        """How they are started, by their names."""
        specs = specs_of(self._running, self._servers, self._folder / "home", workers)
        return specs if self._gates is None else gated_specs(specs, self.topology, self._gates)

    # -- what is offered, and what became of it

    def load(
        self,
        *,
        rate: int,
        keys: int,  # noqa: ARG002 - the producers choose them
        seed: int,
        recorder: Recorder,
        workers: Workers,  # noqa: ARG002 - what is offered comes from outside
    ) -> Load:
        """What its producers publish."""
        arguments = with_seed(self.resolved.producers, self._arguments, seed)
        records = published(self.resolved, arguments)
        return Load(self._servers, records, rate, recorder, self.topology.kafka)

    def record_end(self, recorder: Recorder) -> dict[str, int]:
        """Read all topics to their ends; what was published to them is in the history, as polls."""
        offered = {topic for producer in self.topology.producers.values() for topic in producer.writes}
        return {
            name: self._read(name, recorder if name in offered else None) for name in self.topology.topics
        }

    def _read(self, topic: str, recorder: Recorder | None) -> int:
        count, reader = 0, None
        if recorder is not None:
            reader = LastReader(recorder, topic, self.topology.topic(topic).partitions)
        for message in LogScanner(self._servers).topic(topic):
            count += 1
            number = None if reader is None else number_of(message)
            if reader is None or number is None:
                continue
            key = message.key()
            text = None if key is None else key.decode(errors="backslashreplace")
            log = reader.logs[message.partition()]
            reader.take(read(log, number, key=text, offset=message.offset()))
        if reader is not None:
            reader.end()
        return count

    def checks(self) -> tuple[CheckResult, ...]:
        """Check what the file declares under `checks`, or what is chosen of it."""
        reader = ClusterTopicReader(self.resolved, LogScanner(self._servers))
        return tuple(run_checks(self._checks, reader))
