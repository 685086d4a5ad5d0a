"""From a planned fault to one that can happen: its targets are looked up, and it is put together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from holdfast.chaos.experiment import PlannedFault, Target
from holdfast.chaos.faults.clocks import ClockJump
from holdfast.chaos.faults.containers import Disconnected
from holdfast.chaos.faults.disks import DiskFull, DiskSlow
from holdfast.chaos.faults.fault import Fault
from holdfast.chaos.faults.members import Added, Crashed, Ended, Rolled, Suspended
from holdfast.chaos.faults.network import Disturbed
from holdfast.chaos.faults.sinks import ServiceWrong, SystemDown, SystemSlow
from holdfast.chaos.faults.upgrade import Upgraded
from holdfast.chaos.gates.gates import Gates
from holdfast.chaos.lab.base import Lab
from holdfast.chaos.lab.brokers import EmbeddedBrokers, node_of
from holdfast.chaos.lab.containers import ContainerBrokers
from holdfast.chaos.lab.ports import Members
from holdfast.chaos.lab.workers import Workers
from holdfast.chaos.network.isolated import between
from holdfast.chaos.network.links import LinkRule
from holdfast.chaos.run.whom import Whom, sinks_hit
from holdfast.errors import FaultFailed
from holdfast.kafka.broker_clock import BrokerClocks

_NUMBERS = itertools.count(1)
"""Tell the faults of a network apart: several makers may have the same one, as nested faults of a test do."""


@dataclass(frozen=True)
class Aimed:
    """A fault that knows whom it hits.

    Attributes:
        fault: what happens.
        hit: whom: brokers, workers, links.
    """

    fault: Fault
    hit: tuple[str, ...]


class FaultMaker:
    """Makes faults on a lab.

    Args:
        lab: the brokers, all of which run, and what they live in.
        workers: the workload's workers.
        whom: finds out whom targets mean.
        gates: what stands before the application's sinks; None for a workload without any.

    Raises:
        ClusterError: the brokers cannot be asked for their time, where their clocks can be set.
    """

    def __init__(self, lab: Lab, workers: Workers, whom: Whom, gates: Gates | None = None) -> None:
        self._lab = lab
        self._workers = workers
        self._whom = whom
        self._gates = gates
        # Now, while all brokers are there: what asks for their time has a partition on each.
        self._broker_clocks = _broker_clocks(lab) if lab.clocks is not None else None

    def make(self, planned: PlannedFault) -> Aimed:
        """Look up whom a fault hits now, and put it together.

        Raises:
            ClusterError: a role cannot be looked up at the moment.
            FaultFailed: nobody has the role, or the lab has no such fault.
        """
        area, _, what = planned.kind.name.partition(".")
        makers: Mapping[str, Callable[[str, PlannedFault], Aimed]] = {
            "broker": self._of_brokers,
            "worker": self._of_workers,
            "network": self._of_network,
            "disk": self._of_disks,
            "clock": self._of_clocks,
            "sink": self._of_sinks,
        }
        if area not in makers:
            raise FaultFailed(f"{planned.kind.name} is not possible for this workload")
        return makers[area](what, planned)

    def _of_brokers(self, what: str, planned: PlannedFault) -> Aimed:
        names = self._whom.brokers(_target(planned), planned.draw)
        release = planned.parameters.get("upgrade_from")
        if release is not None:
            brokers = self._lab.brokers
            assert isinstance(brokers, EmbeddedBrokers), "the experiment was checked: they are embedded"
            return Aimed(Upgraded(brokers, names, str(release), _number(planned, "pause") / 1000), names)
        return Aimed(_of_members(what, planned, self._lab.brokers, names), names)

    def _of_workers(self, what: str, planned: PlannedFault) -> Aimed:
        if what == "scale":
            return self._scaled(int(_number(planned, "to")))
        names = self._whom.workers(_target(planned), planned.draw)
        if what == "crash":
            return Aimed(Crashed(self._workers, names), names)
        return Aimed(_of_members(what, planned, self._workers, names), names)

    def _scaled(self, count: int) -> Aimed:
        running, names = self._workers.running, self._workers.names
        if count < len(running):
            gone = tuple(running[count:])
            return Aimed(Ended(self._workers, gone, orderly=True), gone)
        more = tuple(name for name in names if name not in running)[: count - len(running)]
        return Aimed(Added(self._workers, more), more)

    def _of_network(self, what: str, planned: PlannedFault) -> Aimed:
        if what == "disconnect":
            names = self._whom.brokers(_target(planned), planned.draw)
            containers = self._lab.brokers
            assert isinstance(containers, ContainerBrokers), (
                "the experiment was checked: there are containers"
            )
            return Aimed(Disconnected(containers, names), names)
        network = self._lab.network
        if network is None:
            raise FaultFailed(f"{planned.kind.name} takes brokers on an isolated network")
        rule = _rule(what, planned)
        peers = planned.parameters["peers"]
        assert isinstance(peers, Target)
        here, there = self._whom.ends(_target(planned), peers, planned.draw)
        direction = planned.parameters["direction"]
        rules = {
            **(between(there, here, rule) if direction in ("to", "both") else {}),
            **(between(here, there, rule) if direction in ("from", "both") else {}),
        }
        return Aimed(Disturbed(network, f"fault {next(_NUMBERS)}", rules), here)

    def _of_disks(self, what: str, planned: PlannedFault) -> Aimed:
        disks = self._lab.disks
        if disks is None:
            raise FaultFailed(f"{planned.kind.name} takes brokers with small disks of their own")
        names = self._whom.brokers(_target(planned), planned.draw)
        hit = {name: disks.disk(node_of(name)) for name in names}
        if what == "full":
            return Aimed(DiskFull(hit, self._lab.brokers), names)
        return Aimed(DiskSlow(hit, _number(planned, "stall") / 1000), names)

    def _of_clocks(self, _what: str, planned: PlannedFault) -> Aimed:
        clocks = self._lab.clocks
        if clocks is None:
            raise FaultFailed("clock.jump takes brokers whose clocks can be set")
        asked = self._broker_clocks
        assert asked is not None, "clocks that can be set can be asked"
        [name] = self._whom.brokers(_target(planned), planned.draw)
        node = node_of(name)
        offset_s = _number(planned, "offset") / 1000
        return Aimed(ClockJump(clocks.file(node), offset_s, lambda: asked.ahead(node)), (name,))

    def _of_sinks(self, what: str, planned: PlannedFault) -> Aimed:
        if self._gates is None:
            raise FaultFailed(f"{planned.kind.name} is not possible: this workload has no sinks")
        names = sinks_hit(_target(planned), self._gates.names)
        match what:
            case "down":
                return Aimed(SystemDown(self._gates, names), names)
            case "slow":
                return Aimed(SystemSlow(self._gates, names, _number(planned, "delay") / 1000), names)
            case _:
                return Aimed(ServiceWrong(self._gates, names, _number(planned, "share")), names)


def _of_members(what: str, planned: PlannedFault, members: Members, names: Sequence[str]) -> Fault:
    """What happens to brokers and workers alike."""
    match what:
        case "freeze":
            return Suspended(members, names)
        case "restart":
            return Rolled(members, names)
        case "rolling":
            return Rolled(members, names, _number(planned, "pause") / 1000)
        case _:
            return Ended(members, names, orderly=what == "stop")


def _broker_clocks(lab: Lab) -> BrokerClocks:
    return BrokerClocks(lab.bootstrap_servers, [node_of(name) for name in lab.brokers.names])


def _target(planned: PlannedFault) -> Target:
    assert planned.target is not None, f"{planned.kind.name} has a target"
    return planned.target


def _number(planned: PlannedFault, name: str) -> float:
    value = planned.parameters[name]
    assert isinstance(value, int | float), f"{name} of {planned.kind.name} is a number"
    return value


def _rule(what: str, planned: PlannedFault) -> LinkRule:
    match what:
        case "partition":
            return LinkRule(cut=True)
        case "delay":
            return LinkRule(
                delay_s=_number(planned, "delay") / 1000, jitter_s=_number(planned, "jitter") / 1000
            )
        case "loss":
            return LinkRule(loss=_number(planned, "share"))
        case _:
            return LinkRule(rate=_number(planned, "rate") / 8)
