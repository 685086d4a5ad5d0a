"""Every fault that an experiment can have, as data.

The names are `thing.what`, with the field's words where it has one: *kill* is SIGKILL, *stop* SIGTERM (as
`systemctl`), *partition* and *clock* as Jepsen has them. Two deviate. What Jepsen calls *pause* is
`freeze` here: in Kafka and in containers, a pause is something that a client or an engine does, and the fault
is a process that does not know that it was away. And `network.rate` is netem's word for bandwidth, as a
*bandwidth* fault would not say whether it takes or gives.

A fault that lasts has a `for`, and undoes itself after it: a killed broker is started again, a partition
heals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from holdfast.chaos.experiment.fields import (
    Bandwidth,
    Delay,
    Direction,
    Offset,
    Side,
    Stall,
    Version,
    Workers,
)
from holdfast.chaos.experiment.needs import CONTAINER_ENGINE, FAKETIME, LOOP_DISKS, NAMESPACES, Need
from holdfast.chaos.experiment.targets import Group
from holdfast.topology.fields import Fraction

ClusterKind = Literal["embedded", "containers", "external"]

REQUIRED = object()
"""Stands for the default of a parameter that has none."""


class Alters(StrEnum):
    """What a fault changes. Two that change the same of the same one undo each other."""

    BROKER = "whether the broker runs"
    WORKER = "whether the worker runs"
    WORKERS = "how many workers there are"
    LINK = "which links there are"
    NETWORKS = "which networks the container is on"
    DELAY = "the delay of links"
    LOSS = "the loss on links"
    RATE = "the bandwidth of links"
    SPACE = "the space on the broker's disk"
    STALLS = "the speed of the broker's disk"
    CLOCK = "the broker's clock"
    SINK = "how the sink answers"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A key of a fault beside those that all have.

    Attributes:
        name: the key.
        type: what its value may be, as pydantic takes it.
        meaning: one line for readers.
        default: as a file would say it; `REQUIRED` where there is none.
        unit: what its value is counted in, once it is read.
    """

    name: str
    type: Any
    meaning: str
    default: object = REQUIRED
    unit: str = ""


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind of fault.

    Attributes:
        name: as experiments name it.
        meaning: one line for readers.
        group: what it is aimed at; None for one that has no target.
        alters: what it changes.
        lasts: whether it has a `for`; else it is an instant.
        target: whom it hits where the file does not say; None where it has to.
        parameters: its own keys.
        clusters: the kinds of clusters that it can be done to.
        needs: what it takes of the machine.
        setting: key and value of `cluster` without which it cannot be done.
        least_brokers: how many brokers there have to be.
        open_end: whether it goes on until it is done, and nobody knows for how long.
    """

    name: str
    meaning: str
    group: Group | None
    alters: Alters
    lasts: bool = True
    target: str | None = None
    parameters: tuple[Parameter, ...] = ()
    clusters: tuple[ClusterKind, ...] = ("embedded",)
    needs: tuple[Need, ...] = ()
    setting: tuple[str, str] | None = None
    least_brokers: int = 1
    open_end: bool = False

    def needs_on(self, cluster: ClusterKind) -> tuple[Need, ...]:
        """Return all that it takes, with what the cluster itself takes."""
        return (*self.needs, *((CONTAINER_ENGINE,) if cluster == "containers" else ()))


_OURS: tuple[ClusterKind, ...] = ("embedded", "containers")
_EVERYWHERE: tuple[ClusterKind, ...] = (*_OURS, "external")

_PEERS = Parameter("peers", Side, "the other end of the links", "everyone")
_DIRECTION = Parameter(
    "direction",
    Direction,
    "`to`: what goes to the target; `from`: what comes from it; or `both`",
    "both",
)
_PAUSE = Parameter(
    "pause", Delay, "how long to wait between one that is whole again and the next", "5s", "ms"
)


def _broker(name: str, meaning: str, **more: Any) -> FaultKind:
    return FaultKind(f"broker.{name}", meaning, Group.BROKER, Alters.BROKER, clusters=_OURS, **more)


def _worker(name: str, meaning: str, **more: Any) -> FaultKind:
    return FaultKind(f"worker.{name}", meaning, Group.WORKER, Alters.WORKER, clusters=_EVERYWHERE, **more)


def _network(name: str, meaning: str, alters: Alters, *parameters: Parameter) -> FaultKind:
    return FaultKind(
        f"network.{name}",
        meaning,
        Group.SIDE,
        alters,
        parameters=(*parameters, _PEERS, _DIRECTION),
        needs=(NAMESPACES,),
        setting=("network", "isolated"),
    )


def _disk(name: str, meaning: str, alters: Alters, *parameters: Parameter) -> FaultKind:
    return FaultKind(
        f"disk.{name}",
        meaning,
        Group.BROKER,
        alters,
        parameters=parameters,
        needs=(LOOP_DISKS,),
        setting=("disk", "small"),
    )


def _sink(name: str, meaning: str, *parameters: Parameter) -> FaultKind:
    return FaultKind(
        f"sink.{name}",
        meaning,
        Group.SINK,
        Alters.SINK,
        target="all",
        parameters=parameters,
        # Only an application has sinks, and none is run on a cluster of others.
        clusters=_OURS,
    )


_ALL: tuple[FaultKind, ...] = (
    _broker("kill", "SIGKILL; it is started again afterwards"),
    _broker("stop", "SIGTERM: it hands its leadership over; it is started again afterwards"),
    _broker("freeze", "SIGSTOP, then SIGCONT: its connections stay, and it answers nobody"),
    _broker("restart", "SIGTERM, and started again at once", lasts=False),
    FaultKind(
        "broker.rolling",
        "each is restarted in turn, the next when all replicas are in sync again",
        Group.BROKER,
        Alters.BROKER,
        lasts=False,
        target="all",
        parameters=(
            _PAUSE,
            Parameter(
                "upgrade_from", Version, "the brokers begin with this older Kafka, and each is upgraded", None
            ),
        ),
        least_brokers=2,
        open_end=True,
    ),
    _worker("kill", "SIGKILL; it is started again afterwards"),
    _worker("crash", "SIGKILL; whoever supervises it starts it again at once", lasts=False),
    _worker("stop", "SIGTERM: it hands its shards over; it is started again afterwards"),
    _worker("freeze", "SIGSTOP, then SIGCONT: a zombie, if others took its shards meanwhile"),
    _worker("restart", "SIGTERM, and started again at once", lasts=False),
    _worker(
        "rolling", "each is restarted in turn", lasts=False, target="all", parameters=(_PAUSE,), open_end=True
    ),
    FaultKind(
        "worker.scale",
        "another number of workers; as many as before afterwards",
        None,
        Alters.WORKERS,
        parameters=(Parameter("to", Workers, "how many there are meanwhile"),),
        clusters=_EVERYWHERE,
    ),
    _network("partition", "nothing passes between the target and its peers", Alters.LINK),
    _network(
        "delay",
        "everything takes longer on the way",
        Alters.DELAY,
        Parameter("delay", Delay, "by how much, one way", unit="ms"),
        Parameter("jitter", Delay, "by how much more or less, at random", "0s", "ms"),
    ),
    _network(
        "loss",
        "packets are lost on the way; TCP sends them again",
        Alters.LOSS,
        Parameter("share", Fraction, "how many of them, above 0 and up to 1"),
    ),
    _network(
        "rate",
        "links have so little bandwidth",
        Alters.RATE,
        Parameter("rate", Bandwidth, "bits in a second, such as 3mbit", unit="bit/s"),
    ),
    FaultKind(
        "network.disconnect",
        "the container is taken off its network: nobody reaches it, nor does it reach anybody",
        Group.BROKER,
        Alters.NETWORKS,
        clusters=("containers",),
    ),
    _disk("full", "no byte is free on the broker's disk", Alters.SPACE),
    _disk(
        "slow",
        "the broker's disk stands still for a part of each second",
        Alters.STALLS,
        Parameter("stall", Stall, "for how much of each second", "900ms", "ms"),
    ),
    FaultKind(
        "clock.jump",
        "the broker's clock is wrong by so much",
        Group.BROKER,
        Alters.CLOCK,
        parameters=(Parameter("offset", Offset, "forward, or back with a minus", unit="ms"),),
        needs=(FAKETIME,),
    ),
    _sink("down", "the sink refuses connections"),
    _sink(
        "slow",
        "the sink answers late",
        Parameter("delay", Delay, "by how much", "5s", "ms"),
    ),
    _sink(
        "wrong",
        "the sink answers with errors of its own (HTTP 500)",
        Parameter("share", Fraction, "to how many calls, above 0 and up to 1", 1.0),
    ),
)

KINDS: Mapping[str, FaultKind] = {kind.name: kind for kind in _ALL}
"""Every kind of fault by name."""
