"""What of an experiment does not fit the application that it names. Pure: no broker is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from holdfast.chaos.experiment import Experiment, Fault, Target
from holdfast.chaos.experiment.targets import Role
from holdfast.chaos.network.hosts import MOST
from holdfast.chaos.workloads.application_parts import first_of, last_output, outputs_of, slots_of
from holdfast.chaos.workloads.topic_check import (
    internal_topics,
    partition_problem,
    placed_faults,
)
from holdfast.declaration.source import Location, Problem, did_you_mean
from holdfast.runtime.sources import Arguments, fitted, missing, parameters_of
from holdfast.topology import ResolvedTopology, Topology

MOST_PROCESSES = 256
"""Workers and candidates of one run: each is a program of its own, on one machine."""


def application_problems(experiment: Experiment, resolved: ResolvedTopology) -> Iterator[Problem]:
    """Yield what does not fit, where it stands in the experiment's file."""
    topology, at = resolved.topology, ("workload", "topology")
    file = topology.source.path
    if not topology.native:
        yield Problem(at, f"{file} declares no processor that Holdfast runs, so there is nothing to break")
        return
    if not topology.producers:
        yield Problem(at, f"{file} declares no `producers`, so nothing would be offered to it")
    yield from _copies(experiment, topology)
    yield from _hosts(experiment, topology)
    yield from _output(experiment, topology)
    yield from _arguments(experiment, resolved)
    for name in experiment.workload.checks:
        if name not in topology.checks:
            near = did_you_mean(name, topology.checks)
            text = f'{file} declares no check "{name}"{near} (declared: {", ".join(topology.checks)})'
            yield Problem(("workload", "checks"), text)
    yield from fault_problems(experiment, topology, experiment.workload.workers)
    for text in _claims(experiment, topology):
        yield Problem(("invariants",), text)


def fault_problems(experiment: Experiment, topology: Topology, workers: int) -> Iterator[Problem]:
    """Yield what of an experiment's faults does not fit an application with so many workers each."""
    topics = {spec.name: spec.partitions for spec in topology.topic_specs()}
    known = {**topics, **internal_topics(experiment.cluster)}
    for place, fault in placed_faults(experiment):
        yield from _fault(place, fault, workers, topology)
        for key, target in fault.targets.items():
            for text in partition_problem(target, known):
                yield Problem((*place, key), text)


def arguments_of(experiment: Experiment, resolved: ResolvedTopology) -> Arguments:
    """What the experiment gives the producers, as their annotations say; it must have no mistakes."""
    return {
        name: {
            argument: fitted(parameters_of(resolved.producers[name])[argument], value)
            for argument, value in given.items()
        }
        for name, given in experiment.workload.arguments.items()
    }


def _claims(experiment: Experiment, topology: Topology) -> Iterator[str]:
    """What is claimed and would look at nothing of this application."""
    file = topology.source.path
    offered = {topic for producer in topology.producers.values() for topic in producer.writes}
    if "application-checks" in experiment.invariants and not topology.checks:
        yield f"`application-checks` never evaluates: {file} declares no `checks`"
    if (
        "per-key-order" in experiment.invariants
        and offered
        and not any(topology.topic(topic).key is not None for topic in offered)
    ):
        yield f"`per-key-order` never evaluates: no topic that a producer of {file} writes to has a `key`"
    if "transactions-finished" in experiment.invariants and not outputs_of(topology):
        yield (
            f"`transactions-finished` never evaluates: {file} has no processor with "
            "`guarantee: exactly-once` and no `leader_tasks`, so that nothing is written in transactions; "
            "remove it"
        )


def _copies(experiment: Experiment, topology: Topology) -> Iterator[Problem]:
    copies, brokers = (
        max(spec.replication for spec in topology.topic_specs()),
        experiment.cluster.brokers,
    )
    if copies > brokers and experiment.cluster.kind != "external":
        text = f"its topics have up to {copies} copies, which need as many brokers; the cluster has {brokers}"
        yield Problem(("workload", "topology"), text)


def _hosts(experiment: Experiment, topology: Topology) -> Iterator[Problem]:
    count = len(slots_of(topology, experiment.workload.workers))
    if experiment.cluster.network == "isolated" and count > MOST:
        text = f"that makes {count} processes over all processors; an isolated network has room for {MOST}"
        yield Problem(("workload", "workers"), text)
    elif count > MOST_PROCESSES:
        text = f"that makes {count} processes over all processors, and a run has {MOST_PROCESSES} at most"
        yield Problem(("workload", "workers"), text)


def _output(experiment: Experiment, topology: Topology) -> Iterator[Problem]:
    output, at = experiment.workload.output, ("workload", "output")
    written = sorted({topic for decl in topology.native.values() for topic in decl.writes})
    if output is not None and output not in written:
        near = did_you_mean(output, written)
        text = f"no processor writes to {output}{near} (they write to: {', '.join(written) or 'nothing'})"
        yield Problem(at, text)
    elif output is None and last_output(topology) is None:
        text = (
            "missing: no topic is written by a processor and read by none, so say which output is watched "
            f"(written are: {', '.join(written) or 'none'})"
        )
        yield Problem(at, text)


def _arguments(experiment: Experiment, resolved: ResolvedTopology) -> Iterator[Problem]:
    at: Location = ("workload", "arguments")
    given = experiment.workload.arguments
    for name in given:
        if name not in resolved.producers:
            near = did_you_mean(name, resolved.producers)
            known = ", ".join(resolved.producers)
            yield Problem((*at, name), f'no producer is called "{name}"{near} (declared: {known})')
    for name, producer in resolved.producers.items():
        takes = parameters_of(producer)
        yield from _values((*at, name), name, given.get(name, {}), takes)
        for argument in missing(takes, given.get(name, {})):
            if argument != "seed":
                yield Problem((*at, name), f"producer {name} needs {argument}, which has no default")


def _values(at: Location, name: str, given: Mapping[str, Any], takes: Mapping[str, Any]) -> Iterator[Problem]:
    for argument, value in given.items():
        if argument not in takes:
            known = ", ".join(takes) or "none"
            near = did_you_mean(argument, takes)
            text = f'producer {name} takes no argument "{argument}"{near} (arguments: {known})'
            yield Problem((*at, argument), text)
            continue
        try:
            fitted(takes[argument], value)
        except ValueError as error:
            yield Problem((*at, argument), f"producer {name} {error}")


def _fault(at: Location, fault: Fault, workers: int, topology: Topology) -> Iterator[Problem]:
    for key, target in fault.targets.items():
        for text in _target(target, workers, topology):
            yield Problem((*at, key), text)


def _target(target: Target, workers: int, topology: Topology) -> Iterator[str]:
    number = target.number or 0
    if target.role is Role.APP_LEADER and not topology.leader_tasks:
        yield f"nobody leads: {topology.source.path} declares no `leader_tasks`"
    if target.role is Role.WORKER:
        count = len(topology.processors) * workers
        if number >= count:
            yield (
                f"there is no {target.text}: {len(topology.processors)} processors with {workers} "
                f"worker{'' if workers == 1 else 's'} each are worker-0 to worker-{count - 1}"
            )
    if target.role is Role.SHARD_OWNER and number >= topology.partitions(first_of(topology).name):
        first = first_of(topology).name
        yield f"there is no shard {number}: {first}, the first processor, has {topology.partitions(first)}"
