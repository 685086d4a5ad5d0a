"""A workload with a stateful processor: its application, its workers, and its records at the end."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from holdfast.chaos.clients.load import Load, encoded
from holdfast.chaos.clients.loop.orders import Control
from holdfast.chaos.history import Recorder, read
from holdfast.chaos.lab.workers import Workers, worker_name
from holdfast.chaos.workloads.base import FRESH_S
from holdfast.chaos.workloads.controls import ControlWorkers, stream
from holdfast.chaos.workloads.groups import GroupPlan, TopicSize
from holdfast.chaos.workloads.last_reader import LastReader
from holdfast.chaos.workloads.plans import PROCESSOR, TopicPlan, WorkloadPlan
from holdfast.checks import CheckResult
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.provision import provision
from holdfast.kafka.scan import LogScanner
from holdfast.record import Message
from holdfast.runtime.launch import LaunchSettings, worker_specs
from holdfast.runtime.supervisor import WorkerSpec
from holdfast.schema import EventDecoder, TopicEncoder
from holdfast.topology import Topology
from holdfast.topology.load import load
from holdfast.topology.model import ProcessorDecl

HOLDFAST = "holdfast"
"""The engine that is ours; all others are controls."""


class ProcessedWorkload:
    """One workload in one run.

    Args:
        plan: what it is.
        folder: for the application and its workers' data.
        servers: the brokers.
        partitions: of every topic.
        replication: of every topic.
        options: keys of the processor.
        engine: what processes it.
        prefix: begins the names of its topics and groups, where runs share brokers.
        seed: of what happens by chance to engines that are loops.
        control: what is done to those on purpose.
    """

    def __init__(
        self,
        plan: WorkloadPlan,
        folder: Path,
        servers: str,
        *,
        partitions: int,
        replication: int,
        options: Mapping[str, Any],
        engine: str = HOLDFAST,
        prefix: str = "",
        seed: int = 0,
        control: Control = Control(),  # noqa: B008 # frozen
    ) -> None:
        self.plan = plan = plan.prefixed(prefix)
        self._app = f"{prefix}chaos"
        self._partitions = partitions
        self.shards = {PROCESSOR: partitions}
        self.source = plan.source.name
        self.watched = TopicSize(plan.output.name, partitions)
        self.fresh_s = FRESH_S
        self.facts: Mapping[str, Any] = {}
        self._engine = engine
        self._seed = seed
        self._control = control
        self._replication = replication
        self._folder = folder
        self._servers = servers
        self.topology = self._write(options)

    def _write(self, options: Mapping[str, Any]) -> Topology:
        plan = self.plan
        declared = {
            "app": self._app,
            "topics": {topic.name: self._topic(topic) for topic in plan.topics},
            "processors": {
                PROCESSOR: {
                    "handler": f"{plan.module}:handle",
                    "reads": [topic.name for topic in plan.inputs],
                    "writes": [topic.name for topic in (*plan.others, plan.output)],
                    "tables": {name: f"{plan.module}:{kind}" for name, kind in plan.tables.items()},
                    **options,
                }
            },
        }
        file = self._folder / "topology.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(declared, indent=1))
        return load(file)

    def _topic(self, topic: TopicPlan) -> dict[str, Any]:
        return {
            "event": stream(topic).event,
            "key": topic.key,
            "partitions": self._partitions,
            "replication": self._replication,
        }

    # -- who works

    @property
    def group(self) -> str:
        """The processor's consumer group."""
        return self.topology.processor(PROCESSOR).group_id

    @property
    def outputs(self) -> tuple[str, ...]:
        """What its transactions write: its outputs, and the changes of its state."""
        topics = [topic.name for topic in (*self.plan.others, self.plan.output)]
        if self._engine != HOLDFAST:
            return (*topics, self._controls().changelog)
        processor = self.topology.processor(PROCESSOR)
        assert isinstance(processor, ProcessorDecl)
        return (*topics, *map(processor.changelog, processor.state_tables))

    @property
    def transactional_id(self) -> str:
        """The `transactional.id` of worker 0, which was started."""
        if self._engine != HOLDFAST:
            return self._controls().transactional_id(worker_name(0))
        return self._slot_id(worker_name(0))

    def groups(self, workers: int) -> tuple[GroupPlan, ...]:
        """That of the processor."""
        inputs = tuple(TopicSize(topic.name, self._partitions) for topic in self.plan.inputs)
        members = {one: name for name in self.names(workers) for one in self._instance_ids(name)}
        return (GroupPlan(self.group, inputs[0], inputs, members),)

    def _instance_ids(self, worker: str) -> Sequence[str]:
        """Each `group.instance.id` that a worker may have."""
        if self._engine != HOLDFAST:
            return self._controls().instance_ids(worker)
        return [self._slot_id(worker)]

    def _slot_id(self, worker: str) -> str:
        """The `transactional.id` and `group.instance.id` of a worker of ours."""
        return self.topology.processor(PROCESSOR).slot_id(worker)

    def names(self, workers: int) -> tuple[str, ...]:
        """The processor's workers."""
        return tuple(map(worker_name, range(workers)))

    def provision(self) -> None:
        """Create the topics."""
        provision(TopicAdmin(self._servers), self.topology)

    def specs(self, workers: int) -> dict[str, WorkerSpec]:
        """How the workers of Holdfast's engine are started, by their names."""
        if self._engine != HOLDFAST:
            controls = self._controls()
            return {name: controls.spec(name) for name in map(worker_name, range(workers))}
        settings = LaunchSettings(self._servers, self._folder / "home", "worker", workers)
        made = worker_specs(self.topology, settings)
        return {worker_name(number): replace(spec) for number, spec in enumerate(made)}

    def _controls(self) -> ControlWorkers:
        processor = self.topology.processor(PROCESSOR)
        assert isinstance(processor, ProcessorDecl)
        return ControlWorkers(
            engine=self._engine,
            plan=self.plan,
            processor=processor,
            servers=self._servers,
            partitions=self._partitions,
            replication=self._replication,
            home=self._folder / "home",
            seed=self._seed,
            control=self._control,
        )

    def load(
        self,
        *,
        rate: int,
        keys: int,
        seed: int,
        recorder: Recorder,
        workers: Workers,  # noqa: ARG002 - what is offered comes from outside
    ) -> Load:
        """What is offered to it."""
        source = self.plan.source
        encoder = TopicEncoder(source.name, (source.event,), source.key)
        events = self.plan.offer(keys, random.Random(seed))
        return Load(self._servers, encoded(encoder, self._partitions, events), rate, recorder)

    # -- what became of it

    def record_end(self, recorder: Recorder) -> dict[str, int]:
        """Read all topics to their ends, and put them into the history; return how many records each has."""
        scanner = LogScanner(self._servers)
        counts = {}
        for topic in self.plan.topics:
            counts[topic.name] = 0
            for message, event in self._records(scanner, topic, recorder):
                counts[topic.name] += 1
                self._note(topic, message, event, recorder)
        return counts

    def checks(self) -> tuple[CheckResult, ...]:
        """None: its fold tells more."""
        return ()

    def _records(
        self, scanner: LogScanner, topic: TopicPlan, recorder: Recorder
    ) -> Iterator[tuple[Message, Any]]:
        """The committed records of a topic. Reading the load's topic is in the history, as polls."""
        decode: Callable[..., Any] = EventDecoder((topic.event,)).decode
        reader = LastReader(recorder, topic.name, self._partitions) if topic is self.plan.source else None
        for message in scanner.topic(topic.name):
            event = decode(message.value(), message.headers(), message.key())
            if reader is not None:
                log, key = reader.logs[message.partition()], getattr(event, topic.key)
                reader.take(read(log, event.n, key=key, offset=message.offset()))
            yield message, event
        if reader is not None:
            reader.end()

    def _note(self, topic: TopicPlan, message: Message, event: Any, recorder: Recorder) -> None:
        key = getattr(event, topic.key)
        if topic is not self.plan.output:
            recorder.row(
                "inputs",
                topic=topic.name,
                partition=message.partition(),
                offset=message.offset(),
                key=key,
                value=self.plan.input_value[topic.name](event),
            )
            return
        recorder.row(
            "outputs",
            position=message.offset(),
            key=key,
            topic=event.topic,
            partition=event.partition,
            offset=event.offset,
            state=self.plan.state(event),
        )
        if self.plan.is_bank:
            recorder.row(
                "postings",
                position=message.offset(),
                account=event.account,
                transfer=event.transfer,
                amount=event.amount,
                balance=event.balance,
            )
