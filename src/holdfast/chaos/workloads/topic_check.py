"""Whether partitions that faults name are there: nobody would be found at the moment of one. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from holdfast.chaos.experiment import Cluster, Experiment, Fault, Role, Target
from holdfast.chaos.workloads.plans import PLANS
from holdfast.chaos.workloads.raw import TOPIC
from holdfast.declaration.source import Location, Problem, did_you_mean
from holdfast.local.settings import shared_settings

_OF_ENGINES = "chaos."
"""Begins the names of the topics that engines make for themselves, each in its way."""

_INTERNAL = {
    "__consumer_offsets": "offsets.topic.num.partitions",
    "__transaction_state": "transaction.state.log.num.partitions",
}
"""Kafka's own topics, and the broker's property that says how many partitions one has."""


def topic_problems(experiment: Experiment) -> Iterator[Problem]:
    """Yield which partitions a workload of the lab has not got; those of an application its check knows."""
    workload = experiment.workload
    if workload.kind in PLANS:
        plan = PLANS[workload.kind]
        source, names = plan.source.name, [topic.name for topic in plan.topics]
    elif workload.kind == "raw":
        source, names = TOPIC, [TOPIC]
    else:
        return
    known = {**dict.fromkeys(names, workload.partitions), **internal_topics(experiment.cluster)}
    for at, fault in placed_faults(experiment):
        for key, target in fault.targets.items():
            if target.name is not None and target.name.startswith(_OF_ENGINES):
                continue
            for text in partition_problem(target, known):
                yield Problem((*at, key), text)
        yield from _same_ends(at, fault, source)


def placed_faults(experiment: Experiment) -> Iterator[tuple[Location, Fault]]:
    """Every fault of an experiment, with where it stands in its file."""
    for index, timed in enumerate(experiment.time_line):
        yield ("faults", index), timed.fault
    for index, weighted in enumerate(experiment.choices):
        yield ("random", "choose", index), weighted.fault


def internal_topics(cluster: Cluster) -> Mapping[str, int | None]:
    """Kafka's own topics, with how many partitions each has; None where only the broker knows."""
    settings = {**shared_settings(1, 1), **cluster.broker_config}
    counts = {topic: str(settings[name]) for topic, name in _INTERNAL.items()}
    return {topic: int(count) if count.isdecimal() else None for topic, count in counts.items()}


def partition_problem(target: Target, partitions: Mapping[str, int | None]) -> Iterator[str]:
    """What is wrong with the partition that a role names, if it names one, given how many each topic has."""
    topic, number = target.name, target.number or 0
    if target.role not in (Role.LEADER, Role.FOLLOWER) or topic is None:
        return
    if topic not in partitions:
        near = did_you_mean(topic, partitions)
        yield f"there is no topic {topic}{near} (known: {', '.join(partitions)})"
        return
    count = partitions[topic]
    if count is not None and number >= count:
        yield f"there is no partition {number} of {topic}: it has {count}, counted from 0"


def _same_ends(at: Location, fault: Fault, source: str) -> Iterator[Problem]:
    """A leader that is named on one side, and is the one that is meant without a name on the other."""
    target, peers = fault.target, fault.parameters.get("peers")
    if target is None or not isinstance(peers, Target) or not target.role is peers.role is Role.LEADER:
        return
    if target.name != peers.name and _place(target, source) == _place(peers, source):
        text = f"both ends are the same one: `leader` is that of {source}/0"
        yield Problem((*at, "peers"), text)


def _place(target: Target, source: str) -> tuple[str, int]:
    return target.name or source, target.number or 0
