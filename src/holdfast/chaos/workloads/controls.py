"""How the workers of all engines but Holdfast's are started."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from holdfast.chaos.clients import streams
from holdfast.chaos.clients.loop.orders import (
    FAUST,
    FAUST_APP,
    FAUST_EXACTLY_ONCE,
    FAUST_TABLE,
    LOOP,
    ORDERS_VARIABLE,
    Control,
    LoopOrders,
    Stream,
)
from holdfast.chaos.clients.streams import KAFKA_STREAMS, StreamsOrders
from holdfast.chaos.workloads.plans import PROCESSOR, TopicPlan, WorkloadPlan
from holdfast.runtime.supervisor import WorkerSpec
from holdfast.schema import wire_type
from holdfast.topology.model import ProcessorDecl


@dataclass(frozen=True, slots=True)
class ControlWorkers:
    """The workers of one control.

    Attributes:
        engine: which one.
        plan: the workload.
        processor: what of it would run on Holdfast, with its settings.
        servers: the brokers.
        partitions: of every topic.
        replication: of every topic.
        home: the folder of their logs and their state.
        seed: of what happens by chance to engines that are loops.
        control: what is done to those on purpose.
    """

    engine: str
    plan: WorkloadPlan
    processor: ProcessorDecl
    servers: str
    partitions: int
    replication: int
    home: Path
    seed: int
    control: Control

    def spec(self, worker: str) -> WorkerSpec:
        """How one of them is started."""
        if self.engine == KAFKA_STREAMS:
            return self._streams(worker)
        return self._faust(worker) if self.engine in (FAUST, FAUST_EXACTLY_ONCE) else self._loop(worker)

    def instance_ids(self, worker: str) -> list[str]:
        """The `group.instance.id` that a worker may have; Faust has none."""
        slot = self.processor.slot_id(worker)
        return [*streams.instance_ids(slot)] if self.engine == KAFKA_STREAMS else [slot]

    def transactional_id(self, worker: str) -> str:
        """Its `transactional.id`; that of a Kafka Streams worker is known once it was started."""
        if self.engine == KAFKA_STREAMS:
            return streams.transactional_id(self.processor.group_id, self._state(worker))
        if self.engine == FAUST_EXACTLY_ONCE:
            # One for each partition (`TransactionManager` in `faust.transport.consumer`); of the first one.
            return f"{self.processor.group_id}-0-0"
        return self.processor.slot_id(worker)

    @property
    def changelog(self) -> str:
        """The topic of its state's changes, which its transactions write as well.

        Faust's is named as in `faust.tables.base.Collection`.
        """
        group = self.processor.group_id
        if self.engine == KAFKA_STREAMS:
            return streams.changelog(group)
        if self.engine in (FAUST, FAUST_EXACTLY_ONCE):
            return f"{group}-{FAUST_TABLE}-changelog"
        [table] = self.plan.tables
        return self.processor.changelog(table)

    def _loop(self, worker: str) -> WorkerSpec:
        program, orders = (sys.executable, "-m", LOOP), self._orders(worker)
        return self._spec(
            worker, lambda descriptor: [*program, replace(orders, status=descriptor).to_json()], {}
        )

    def _faust(self, worker: str) -> WorkerSpec:
        program = (sys.executable, "-m", "holdfast.runtime.faust_process", FAUST_APP)
        environment = {
            ORDERS_VARIABLE: self._orders(worker).to_json(),
            "HOLDFAST_STATE_DIR": str(self._state(worker)),
        }
        return self._spec(worker, lambda descriptor: [*program, str(descriptor)], environment)

    def _streams(self, worker: str) -> WorkerSpec:
        program, orders = streams.command(), self._streams_orders(worker)
        # By default each start leaves another copy of the library in the system's folder.
        library = self._state(worker) / "rocksdb"
        library.mkdir(parents=True, exist_ok=True)
        return self._spec(
            worker,
            lambda descriptor: [*program, replace(orders, status=descriptor).to_json()],
            {"ROCKSDB_SHAREDLIB_DIR": str(library)},
        )

    def _spec(
        self, worker: str, command: Callable[[int], list[str]], environment: Mapping[str, str]
    ) -> WorkerSpec:
        log = self.home / "logs" / f"{worker}.log"
        return WorkerSpec(PROCESSOR, worker, command, environment=environment, log=log)

    def _state(self, worker: str) -> Path:
        return self.home / "state" / worker

    def _orders(self, worker: str) -> LoopOrders:
        plan, [state] = self.plan, self.plan.tables.values()
        return LoopOrders(
            engine=self.engine,
            servers=self.servers,
            worker=worker,
            group=self.processor.group_id,
            transactional_id=self.transactional_id(worker),
            partitions=self.partitions,
            replication=self.replication,
            handler=f"{plan.module}:handle",
            state=f"{plan.module}:{state}",
            inputs=tuple(map(stream, plan.inputs)),
            outputs=tuple(map(stream, (*plan.others, plan.output))),
            changelog=self.changelog,
            seed=self.seed,
            control=self.control,
        )

    def _streams_orders(self, worker: str) -> StreamsOrders:
        source, output = self.plan.source, self.plan.output
        return StreamsOrders(
            servers=self.servers,
            worker=worker,
            application=self.processor.group_id,
            instance=self.processor.slot_id(worker),
            input=source.name,
            input_type=wire_type(source.event).decode(),
            output=output.name,
            output_type=wire_type(output.event).decode(),
            replication=self.replication,
            standby=self.processor.standby,
            commit_interval_ms=self.processor.commit_interval_ms,
            session_timeout_ms=self.processor.session_timeout_ms,
            state_folder=str(self._state(worker)),
        )


def stream(topic: TopicPlan) -> Stream:
    """A topic as orders have it."""
    return Stream(topic.name, f"{topic.event.__module__}:{topic.event.__name__}", topic.key)
