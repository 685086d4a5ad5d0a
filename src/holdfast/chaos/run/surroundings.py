"""What roles are looked up in, in a run and in a test alike."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from holdfast.chaos.lab.base import Lab
from holdfast.chaos.lab.workers import Workers
from holdfast.chaos.run.parts import Holders
from holdfast.chaos.workloads.groups import GroupPlan
from holdfast.kafka.roles import BrokerRoles


class About(Protocol):
    """What roles are about: the workload of a run, or an application under test."""

    @property
    def source(self) -> str:
        """The topic whose leaders are meant."""
        ...

    @property
    def group(self) -> str:
        """The consumer group whose coordinator is meant."""
        ...

    @property
    def transactional_id(self) -> str:
        """The `transactional.id` of worker 0, whose coordinator is meant."""
        ...


@dataclass(frozen=True)
class Surroundings:
    """What roles are looked up in.

    Attributes:
        brokers: names of all brokers, in the order of their ids.
        workers: the workers.
        roles: asks the brokers who has which part.
        owners: who has which shard, as it was last seen.
        topic: the workload's input.
        group: the workload's consumer group.
        transactional_id: of worker 0.
        prefix: begins the names of the workload's topics, which targets do not say.
        label: begins the names of the shards of the group that roles are about, in `owners`.
        hosts: workers that have a host of their own on the network, which may have no room for all; None if
            all have.
    """

    brokers: Sequence[str]
    workers: Workers
    roles: BrokerRoles
    owners: Holders
    topic: str
    group: str
    transactional_id: str
    prefix: str = ""
    label: str = ""
    hosts: Collection[str] | None = None

    @classmethod
    def of(
        cls,
        lab: Lab,
        workers: Workers,
        owners: Holders,
        about: About | None,
        groups: Sequence[GroupPlan] = (),
        prefix: str = "",
    ) -> Self:
        """Put them together.

        Args:
            lab: the brokers, which run.
            workers: the workers.
            owners: who has which shard, as it was last seen.
            about: what roles are about; None where there is nothing but brokers.
            groups: the consumer groups; the first one is that of roles.
            prefix: begins the names of the workload's topics.
        """
        return cls(
            lab.brokers.names,
            workers,
            BrokerRoles(lab.bootstrap_servers),
            owners,
            about.source if about else "",
            about.group if about else "",
            about.transactional_id if about else "",
            prefix,
            groups[0].label if groups else "",
            lab.network.hosts.workers if lab.network is not None else None,
        )
