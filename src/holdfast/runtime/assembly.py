"""Puts a worker together: engine, clients, restorer and commit pipeline for one processor."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from holdfast.engine.asking import AskingHandler
from holdfast.engine.plan import plan_processor
from holdfast.engine.processor_plan import ProcessorPlan
from holdfast.kafka.at_least_once import AtLeastOnceWriter
from holdfast.kafka.consumer import OwnershipListener, ShardConsumer
from holdfast.kafka.control_log import ControlLog
from holdfast.kafka.departures import present_brokers
from holdfast.kafka.group_settings import set_session
from holdfast.kafka.groups import GroupAdmin, partitions_of
from holdfast.kafka.members import Group
from holdfast.kafka.positions import NoteOf
from holdfast.kafka.reader import PartitionReader, reader_settings
from holdfast.kafka.settings import CONSUMER_PROTOCOL, GROUP_PROTOCOL, consumer_config, producer_config
from holdfast.kafka.takeover import end_transaction
from holdfast.kafka.transaction import TransactionalWriter
from holdfast.kafka.unit_writer import UnitWriter
from holdfast.kafka.versions import require_sole
from holdfast.record import TopicPartition
from holdfast.runtime.asking import AskingStage
from holdfast.runtime.commit import CommitPipeline
from holdfast.runtime.guarded_sink import GuardedSink, SinkGate
from holdfast.runtime.known_topics import KnownTopics
from holdfast.runtime.opening import RestoreSettings
from holdfast.runtime.owner_notes import OwnerNotes
from holdfast.runtime.peers import Peers
from holdfast.runtime.predecessors import PredecessorPorts, Predecessors
from holdfast.runtime.remote_control import RemoteControl, Source
from holdfast.runtime.restore import Restorer
from holdfast.runtime.setbacks import FAILED_UNITS
from holdfast.runtime.stage import Stage
from holdfast.runtime.stage_commit import StagePipeline, StageProcessor
from holdfast.runtime.stall import InputEnds, StallWatch
from holdfast.runtime.status import Reporter
from holdfast.runtime.store import StoreMemory
from holdfast.runtime.worker import Worker, WorkerLimits
from holdfast.sinks.factory import build_downstream, build_sink
from holdfast.topology.model import BROKER_MAX_BYTES, MAX_BYTES, ProcessorDecl, Topology
from holdfast.topology.resolved import ResolvedProcessor, ResolvedTopology

CALL_TIMEOUT_S = 10.0
"""How long one call to the brokers may take before its outcome counts as unknown."""

_FAILED_SINK_UNITS = 3 * FAILED_UNITS
"""A rebalance refuses the unit that is on its way, and one that goes to a sink is long on its way."""

_HEARTBEAT_MS = 100
"""How soon a member hears of a rebalance: a shard that moves waits for it twice."""


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """Which worker this is.

    Attributes:
        slot: its stable place, such as `host-0`; it names the transactional id and the group instance.
        folder: its state folder; nobody else's.
        bootstrap_servers: the brokers.
    """

    slot: str
    folder: Path
    bootstrap_servers: str


def build_worker(
    topology: ResolvedTopology, processor: ResolvedProcessor, identity: WorkerIdentity, reporter: Reporter
) -> Worker:
    """Connect a worker.

    Raises:
        HandlerError: the handler cannot be served.
        ClusterError: the brokers do not answer, or refuse this worker.
        ClusterMismatch: they do not allow what is declared.
        SettingError: a client property cannot be used.
        SinkError: the processor's sink cannot be made.
    """
    declared, decl = topology.topology, processor.decl
    plan = plan_processor(
        processor, declared.app, declared.dead_letter_topic, time.monotonic, declared.redrive_topic
    )
    settings = consumer_settings(decl, identity, declared.kafka)
    set_session(identity.bootstrap_servers, declared, decl)
    changelogs = {table: decl.changelog(table) for table in decl.state_tables}
    topics = KnownTopics((*plan.inputs, *changelogs.values()), CALL_TIMEOUT_S)
    shards = declared.partitions(decl.name)
    slot_id = decl.slot_id(identity.slot)
    peers = Peers(decl.group_id, slot_id, shards, CALL_TIMEOUT_S)
    owner = identity.slot if decl.guarantee == "exactly-once" else None
    notes = OwnerNotes(topics.id_of, owner=owner, changelogs=changelogs)
    late = _LateConsumer(notes)
    writer_settings = _writer_settings(decl, identity, {**record_sizes(declared, decl), **declared.kafka})
    present = partial(present_brokers, identity.bootstrap_servers, declared.kafka, decl.reads[0])
    writer = _writer(decl, writer_settings, late, present)

    def connect(listener: OwnershipListener) -> ShardConsumer:
        late.consumer = ShardConsumer(settings, decl.reads[0], listener)
        return late.consumer

    restorer = Restorer(
        RestoreSettings(
            decl.reads,
            changelogs,
            identity.folder,
            decl.start,
            standby=decl.standby,
            notes=notes,
            redrive=plan.redrive_topic,
            admit=lambda reader: require_sole(
                reader, decl, partitions_of(decl.reads, shards), identity.bootstrap_servers, declared.kafka
            ),
        ),
        lambda: PartitionReader(reader_settings(_plain(settings))),
        StoreMemory(),
        topics,
        peers,
        ends := InputEnds(CALL_TIMEOUT_S),
        _predecessors(decl, peers, declared.kafka, writer_settings, identity.bootstrap_servers),
    )
    limits = WorkerLimits(decl.commit_interval_ms / 1000, decl.cache_entries)
    pipeline, gate = CommitPipeline(writer, changelogs), None
    if (stage := _stage(processor, plan)) is not None:
        limits = replace(limits, failed_units=_FAILED_SINK_UNITS)
        pipeline = StagePipeline(
            writer,
            stage,
            _stage_processor(decl, declared.dead_letter_topic, topics),
        )
        gate = _gate(stage, declared, decl, identity)
    return Worker(
        plan,
        limits,
        connect,
        restorer,
        pipeline,
        reporter,
        peers,
        StallWatch(decl.name, ends, decl.reads),
        gate,
    )


def _stage_processor(decl: ProcessorDecl, letters: str, topics: KnownTopics) -> StageProcessor:
    """Whose batches a stage gets. An async handler fails where it is one; what a sink refuses is its own."""
    policy = decl.on_refused if decl.sink is not None else decl.on_error
    is_stopped = decl.sink is not None and policy == "stop"
    return StageProcessor(decl.name, decl.group_id, letters, topics.id_of, policy == "drop", is_stopped)


def _gate(stage: Stage, declared: Topology, decl: ProcessorDecl, identity: WorkerIdentity) -> SinkGate:
    """What stands before a stage; operators can force its breakers from now on."""
    who = Source(decl.name, identity.slot, socket.gethostname(), os.getpid())
    control = RemoteControl(
        who,
        lambda: ControlLog(
            identity.bootstrap_servers,
            declared.controls_topic,
            declared.kafka,
            f"{decl.slot_id(identity.slot)}.controls",
        ),
    )
    gate = SinkGate(stage, control=control)
    control.start(gate)
    return gate


def _stage(processor: ResolvedProcessor, plan: ProcessorPlan) -> Stage | None:
    """What the units of a processor go through, if it is more than a commit."""
    if processor.sink is not None:
        decl = processor.sink.decl
        sink = build_sink(processor.sink)
        return GuardedSink(decl.name, sink, decl.breaker.settings(), decl.timeout_ms / 1000)
    if not processor.asks:
        return None
    decls = [each.decl for each in processor.asks.values()]
    return AskingStage(
        AskingHandler(plan.handler, plan.router),
        {name: build_downstream(each) for name, each in processor.asks.items()},
        "again" if plan.retry is not None else "stop" if plan.on_error == "stop" else "refuse",
        max(each.timeout_ms for each in decls) / 1000,
        {each.name: each.breaker.settings() for each in decls},
    )


def consumer_settings(
    decl: ProcessorDecl, identity: WorkerIdentity, properties: Mapping[str, Any]
) -> dict[str, Any]:
    """Client settings of the worker's group member.

    Raises:
        SettingError: a property cannot be used.
    """
    ours: dict[str, Any] = {
        # What is fetched ahead. Each queued record costs the client some 400 bytes beside its
        # own; the defaults (100,000 records per partition) took 100 MB for small records.
        "queued.min.messages": 5_000,
        "queued.max.messages.kbytes": 8_192,
        "fetch.max.bytes": 8_388_608,
        # With its default of 1 s the client stands still once the queue was full.
        "fetch.queue.backoff.ms": 10,
        "fetch.wait.max.ms": 100,
    }
    classic = {
        "group.instance.id": decl.slot_id(identity.slot),
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": decl.session_timeout_ms,
        "heartbeat.interval.ms": min(_HEARTBEAT_MS, decl.session_timeout_ms // 4),
    }
    return {
        **ours,
        **consumer_config(identity.bootstrap_servers, decl.group_id, properties, start="error"),
        "client.id": decl.slot_id(identity.slot),
        # With the newer protocol (KIP-848) the brokers set sessions and hand out partitions, and the client
        # refuses to be told. A static member's next life would be refused there until the session has ended.
        **({} if properties.get(GROUP_PROTOCOL) == CONSUMER_PROTOCOL else classic),
        "enable.partition.eof": True,
    }


def record_sizes(topology: Topology, decl: ProcessorDecl) -> dict[str, Any]:
    """How large records and batches of a processor's producer may be.

    The client refuses a record above its own limit, whatever the topic takes, so that limit is the
    largest of all. A broker measures whole batches, so these follow the smallest.
    """
    specs = {spec.name: spec for spec in topology.topic_specs()}
    written = (*decl.writes, *map(decl.changelog, decl.state_tables), topology.dead_letter_topic)
    limits = [int(specs[name].config.get(MAX_BYTES, BROKER_MAX_BYTES)) for name in written]
    return {"message.max.bytes": max(limits), "batch.size": min(1_000_000, *limits)}


class _LateConsumer:
    """Commits offsets through the consumer, which is made after the writer."""

    def __init__(self, note_of: NoteOf) -> None:
        self.consumer: ShardConsumer | None = None
        self.note_of = note_of

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """See `ShardConsumer.commit`."""
        assert self.consumer is not None
        self.consumer.commit(positions, self.note_of)


def _writer_settings(
    decl: ProcessorDecl, identity: WorkerIdentity, properties: Mapping[str, Any]
) -> dict[str, Any]:
    slot_id = decl.slot_id(identity.slot)
    if decl.guarantee == "at-least-once":
        return {**producer_config(identity.bootstrap_servers, properties), "client.id": slot_id}
    return {
        **producer_config(identity.bootstrap_servers, properties, transactional_id=slot_id),
        "client.id": slot_id,
    }


def _writer(
    decl: ProcessorDecl,
    settings: Mapping[str, Any],
    late: _LateConsumer,
    present: Callable[[], frozenset[int]],
) -> UnitWriter:
    if decl.guarantee == "at-least-once":
        return AtLeastOnceWriter(settings, CALL_TIMEOUT_S, late)
    return TransactionalWriter(settings, CALL_TIMEOUT_S, late.note_of, present=present)


def _predecessors(
    decl: ProcessorDecl,
    peers: Peers,
    properties: Mapping[str, Any],
    settings: Mapping[str, Any],
    servers: str,
) -> Predecessors | None:
    if decl.guarantee == "at-least-once":
        return None

    def group() -> Group:
        with GroupAdmin(servers, properties) as groups:
            return groups.describe(decl.group_id)

    def end(gone: str) -> None:
        end_transaction(gone, settings, CALL_TIMEOUT_S)

    return Predecessors(decl.reads, peers, PredecessorPorts(decl.slot_id, group, end), CALL_TIMEOUT_S)


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a member without what makes it one."""
    membership = ("group.instance.id", "partition.assignment.strategy")
    return {name: value for name, value in settings.items() if name not in membership}
