"""Whom a target means at the moment: roles are looked up when a fault begins."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from holdfast.chaos.experiment import Experiment
from holdfast.chaos.experiment.schedule import drawn
from holdfast.chaos.experiment.targets import (
    BROKER_ROLES,
    Group,
    Role,
    Target,
    are_same,
    brokers_hit,
    includes,
)
from holdfast.chaos.lab.brokers import broker_name
from holdfast.chaos.lab.workers import worker_name
from holdfast.chaos.network.hosts import CLIENTS
from holdfast.chaos.run.parts import subject_of
from holdfast.chaos.run.surroundings import Surroundings
from holdfast.errors import FaultFailed
from holdfast.record import TopicPartition
from holdfast.topology.model import LEADER


class Whom:
    """Finds out whom targets mean.

    Args:
        surroundings: what they are looked up in.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._in = surroundings

    def brokers(self, target: Target, draw: float, apart: Collection[str] = ()) -> tuple[str, ...]:
        """The brokers that a target means now.

        Args:
            target: a role of brokers.
            draw: decides among several, from 0 to below 1.
            apart: who is not drawn.

        Raises:
            ClusterError: the role cannot be looked up at the moment.
            FaultFailed: nobody has it.
        """
        names, count = self._in.brokers, brokers_hit(target, len(self._in.brokers))
        match target.role:
            case Role.BROKERS:
                return tuple(names)
            case Role.ANY_BROKER | Role.MAJORITY | Role.MINORITY:
                return drawn([name for name in names if name not in apart], count, draw)
            case Role.FOLLOWER:
                followers = map(broker_name, self._in.roles.followers(self._place(target)))
                others = [name for name in followers if name not in apart]
                if not others:
                    raise FaultFailed(f"{self._place(target)} has no follower that is in sync now")
                return drawn(others, 1, draw)
            case _:
                return (broker_name(self._one(target)),)

    def _one(self, target: Target) -> int:
        match target.role:
            case Role.BROKER:
                assert target.number is not None
                return target.number
            case Role.LEADER:
                return self._in.roles.leader(self._place(target))
            case Role.GROUP_COORDINATOR:
                return self._in.roles.group_coordinator(self._in.group)
            case Role.TRANSACTION_COORDINATOR:
                return self._in.roles.transaction_coordinator(self._in.transactional_id)
            case Role.CONTROLLER:
                return self._in.roles.controller()
            case _:
                raise AssertionError(f"{target.role} is no role of one broker")

    def _place(self, target: Target) -> TopicPartition:
        topic = f"{self._in.prefix}{target.name}" if target.name else self._in.topic
        return TopicPartition(topic, target.number or 0)

    def workers(self, target: Target, draw: float) -> tuple[str, ...]:
        """The workers that a target means now.

        Raises:
            FaultFailed: nobody is meant, such as the owner of a shard that has none.
        """
        running = self._in.workers.running
        match target.role:
            case Role.WORKERS:
                return tuple(running)
            case Role.ANY_WORKER:
                return drawn(running, 1, draw)
            case Role.WORKER:
                return (self._worker(worker_name(target.number or 0)),)
            case Role.SHARD_OWNER:
                shard = subject_of(self._in.label, target.number or 0)
                return (self._owner(shard, f"shard {shard} has no owner now"),)
            case Role.APP_LEADER:
                return (self._owner(subject_of(LEADER, 0), "nobody leads now"),)
            case _:
                raise FaultFailed(f"this workload has no {target}")

    def _worker(self, name: str) -> str:
        names = self._in.workers.names
        if name not in names:
            raise FaultFailed(f"there is no {name}; there are {', '.join(names) or 'no workers'}")
        return name

    def _owner(self, subject: str, otherwise: str) -> str:
        owner = self._in.owners.holder(subject)
        if owner is None or owner not in self._in.workers.names:
            raise FaultFailed(otherwise)
        return owner

    def hosts(self, target: Target, draw: float, apart: Collection[str] = ()) -> tuple[str, ...]:
        """The hosts of the network on the side that a target means.

        Args:
            target: a role.
            draw: decides among several, from 0 to below 1.
            apart: brokers that are not drawn.

        Raises:
            ClusterError: its role cannot be looked up at the moment.
            FaultFailed: nobody has it.
        """
        hosts = self._in.hosts
        # A worker without a host of its own is one of the other clients there.
        everybody = (CLIENTS, *(it for it in self._in.workers.names if hosts is None or it in hosts))
        if target.role is Role.CLIENTS:
            return everybody
        if target.role is Role.EVERYONE:
            return (*self._in.brokers, *everybody)
        if target.role in BROKER_ROLES:
            return self.brokers(target, draw, apart)
        return self.workers(target, draw)

    def ends(self, target: Target, peers: Target, draw: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The hosts at both ends of the links that a fault of the network is about.

        Nobody is at both ends, and who comes by chance is drawn among those that are not at the other one. A
        majority and a minority are the two parts of one split. Where both ends are the same hosts, as for
        `brokers` from `brokers`, the links among these are meant.

        Raises:
            ClusterError: a role cannot be looked up at the moment.
            FaultFailed: nobody has it.
        """
        if are_same(target, peers):
            among = self.hosts(target, draw)
            return among, among
        if peers.by_chance or includes(peers, target):
            here = self.hosts(target, draw)
            split = {target.role, peers.role} == {Role.MAJORITY, Role.MINORITY}
            there = self._in.brokers if split else self.hosts(peers, draw, here)
        else:
            there = self.hosts(peers, draw)
            here = self.hosts(target, draw, there)
        return here, tuple(host for host in there if host not in here)


def sinks_to_gate(experiment: Experiment, sinks: Collection[str]) -> tuple[str, ...]:
    """The sinks that some fault of an experiment is aimed at, of those that its topology has.

    Raises:
        FaultFailed: one that a fault names is not among them.
    """
    aims = [
        fault.target
        for fault in experiment.faults
        if fault.kind.group is Group.SINK and fault.target is not None
    ]
    hit = {name for target in aims for name in sinks_hit(target, tuple(sinks))}
    return tuple(name for name in sinks if name in hit)


def sinks_hit(target: Target, names: Sequence[str]) -> tuple[str, ...]:
    """The sinks that a target means, of those that something can be done to.

    Raises:
        FaultFailed: it is none of them.
    """
    if target.role is Role.SINKS:
        return tuple(names)
    if target.name not in names:
        raise FaultFailed(
            f"there is no {target} that a gate could stand before; there are {', '.join(names)}"
        )
    return (str(target.name),)
