"""The parts of an application that runs and tests look at: its file, its workers, its groups.

Its workers are called ``worker-0``, ``worker-1``, ...: first all of the first processor in the file, then
those of the second one, and so on. Candidates for its leader tasks are called ``candidate-0``, ...
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from holdfast.chaos.lab.workers import worker_name
from holdfast.chaos.workloads.groups import GroupPlan, TopicSize
from holdfast.engine.plan import check_handler
from holdfast.kafka.settings import checked
from holdfast.runtime.launch import LaunchSettings, worker_specs
from holdfast.runtime.supervisor import WorkerSpec
from holdfast.sinks.check import check_sink_here
from holdfast.topology import ResolvedTopology, Topology, check_file
from holdfast.topology.model import LEADER, FaustDecl, ProcessorDecl

SLOT = "worker"
"""How slots begin."""


def load_application(file: Path) -> ResolvedTopology:
    """Read a topology file, and import and check everything that it names.

    Raises:
        TopologyErrors: all that is wrong.
    """
    return check_file(file, check_handler, checked, check_sink_here, running=())


def candidate_name(index: int) -> str:
    """The name of a candidate for the leader tasks."""
    return f"candidate-{index}"


def names_for_any(most: int, candidates: int) -> tuple[str, ...]:
    """Names that workers and candidates of some application will have, as far as they fit: `most` in all."""
    return (
        *map(worker_name, range(most - candidates)),
        *map(candidate_name, range(candidates)),
    )


class Slot(NamedTuple):
    """Where a worker works.

    Attributes:
        name: the worker's name in reports and targets.
        processor: the processor that it is of; `leader` for a candidate.
        slot: its slot there.
    """

    name: str
    processor: str
    slot: str


def slots_of(topology: Topology, workers: int) -> tuple[Slot, ...]:
    """The workers of an application: so many for each processor, and as many candidates if it has tasks."""
    slots = [f"{SLOT}-{index}" for index in range(workers)]
    places = [(processor, slot) for processor in topology.processors for slot in slots]
    candidates = list(map(candidate_name, range(workers))) if topology.leader_tasks else []
    return (
        *(Slot(worker_name(number), *place) for number, place in enumerate(places)),
        *(Slot(name, LEADER, slot) for name, slot in zip(candidates, slots, strict=False)),
    )


def specs_of(topology: Topology, servers: str, home: Path, workers: int) -> dict[str, WorkerSpec]:
    """How the workers of an application are started, by their names.

    Args:
        topology: what they work for.
        servers: the brokers.
        home: for their state and logs.
        workers: how many there are of each processor.
    """
    settings = LaunchSettings(servers, home, SLOT, workers, candidates=workers)
    specs = {(spec.processor, spec.slot): spec for spec in worker_specs(topology, settings)}
    return {it.name: specs[it.processor, it.slot] for it in slots_of(topology, workers)}


def shards_of(topology: Topology) -> dict[str, int]:
    """How many shards each processor of Holdfast's engine has."""
    return {name: topology.partitions(name) for name in topology.native}


def first_of(topology: Topology) -> ProcessorDecl:
    """The first processor that Holdfast's engine runs, which roles such as `group coordinator` are about."""
    return next(iter(topology.native.values()))


def groups_of(topology: Topology, workers: int) -> tuple[GroupPlan, ...]:
    """The groups of an application: those of its processors, the one first that roles are about.

    Workers of Faust cannot be told apart in their group. The candidates' group comes last; its one shard is
    the lead.
    """
    slots = slots_of(topology, workers)
    first = first_of(topology)
    others = [decl for decl in topology.processors.values() if decl is not first]
    groups = [_group(topology, decl, slots) for decl in (first, *others)]
    if topology.leader_tasks:
        members = {topology.candidate_id(it.slot): it.name for it in slots if it.processor == LEADER}
        groups.append(GroupPlan(topology.leader_id, TopicSize(topology.leader_id, 1), (), members, LEADER))
    return tuple(groups)


def _group(topology: Topology, decl: ProcessorDecl | FaustDecl, slots: tuple[Slot, ...]) -> GroupPlan:
    shards = topology.partitions(decl.name)
    # The redrive topic is read as far as there are shards.
    inputs = tuple(TopicSize(topic, shards) for topic in topology.inputs(decl))
    members: Mapping[str, str] = {}
    if isinstance(decl, ProcessorDecl):
        members = {decl.slot_id(it.slot): it.name for it in slots if it.processor == decl.name}
    return GroupPlan(decl.group_id, inputs[0], inputs, members, decl.name)


def outputs_of(topology: Topology) -> tuple[str, ...]:
    """All topics that exactly-once processors and leader tasks write: with their own ones."""
    deciders = [decl for decl in topology.native.values() if decl.guarantee == "exactly-once"]
    topics = [topic for decl in deciders for topic in decl.writes]
    topics += [decl.changelog(table) for decl in deciders for table in decl.state_tables]
    topics += [topic for task in topology.leader_tasks.values() for topic in task.writes]
    topics += [topology.leader_id] if topology.leader_tasks else []
    topics += [topology.dead_letter_topic] if deciders else []
    return tuple(dict.fromkeys(topics))


def last_output(topology: Topology) -> str | None:
    """The last topic in the file that a processor of Holdfast's engine writes and nobody reads, if any."""
    written = {topic for decl in topology.native.values() for topic in decl.writes}
    read = {topic for decl in topology.processors.values() for topic in decl.reads}
    ends = [topic for topic in topology.topics if topic in written - read]
    return ends[-1] if ends else None
