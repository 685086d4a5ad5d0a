"""Which replica of a partition can be read by itself, and why another cannot.

The leader sends a client to the in-sync replica of the client's rack (KIP-392). So a follower can be read
if it is in sync and alone in its rack; the leader can always be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.record import TopicPartition

SELECTOR = "replica.selector.class"
"""The brokers' setting that allows reading from followers."""

RACK_AWARE = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
"""Its value that sends a client to the replica of its rack."""

ADVICE = (
    f"To read followers, give every broker a `broker.rack` of its own and set `{SELECTOR}={RACK_AWARE}` "
    "on all of them."
)


@dataclass(frozen=True, slots=True)
class PartitionView:
    """A partition as the brokers describe it.

    Attributes:
        place: which one.
        leader: the broker that leads it; None if nobody does.
        replicas: the brokers that should have a copy, in the order of the assignment.
        in_sync: those whose copy holds everything that was acknowledged.
    """

    place: TopicPartition
    leader: int | None
    replicas: tuple[int, ...]
    in_sync: frozenset[int]


@dataclass(frozen=True, slots=True)
class Brokers:
    """The brokers that are there.

    Attributes:
        racks: rack by broker; None for a broker without one.
        selectors: `replica.selector.class` by broker, of those that say it; empty where it is not set.
    """

    racks: Mapping[int, str | None]
    selectors: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Route:
    """How a replica is reached: by a client in this rack; by one without a rack if it is None."""

    rack: str | None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a replica cannot be read, and what to do."""

    reason: str


def plan_routes(view: PartitionView, brokers: Brokers) -> dict[int, Route | Unreadable]:
    """How to reach each replica of a partition, in the order of the assignment."""
    return {replica: _route(replica, view, brokers) for replica in view.replicas}


def _route(replica: int, view: PartitionView, brokers: Brokers) -> Route | Unreadable:
    rack = brokers.racks.get(replica)
    if view.leader is None:
        return Unreadable("nobody leads the partition; start the brokers that have its replicas.")
    if replica not in brokers.racks:
        return Unreadable(f"broker {replica} is not there; start it and check again.")
    if replica == view.leader:
        return Route(rack)
    if replica not in view.in_sync:
        return Unreadable(
            f"broker {replica} is not in sync with the leader, so it serves no reader; check again when it "
            "is, or look into its log if it stays so."
        )
    selector = brokers.selectors.get(view.leader, RACK_AWARE)
    if not selector:
        return Unreadable(f"broker {view.leader} sends no reader to a follower. {ADVICE}")
    if rack is None:
        return Unreadable(f"broker {replica} has no rack. {ADVICE}")
    return _unless_shared(replica, rack, view, brokers)


def _unless_shared(replica: int, rack: str, view: PartitionView, brokers: Brokers) -> Route | Unreadable:
    others = [it for it in view.replicas if it != replica and brokers.racks.get(it) == rack]
    if not others:
        return Route(rack)
    named = " and ".join(str(it) for it in others)
    return Unreadable(
        f'broker {replica} shares the rack "{rack}" with {named}, so readers cannot choose it. {ADVICE}'
    )
