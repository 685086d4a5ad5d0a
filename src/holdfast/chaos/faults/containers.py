"""Containers are taken off their networks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from holdfast.chaos.containers.cluster import CutFrom
from holdfast.chaos.faults.fault import Evidence, Fault
from holdfast.chaos.lab.brokers import node_of
from holdfast.chaos.lab.containers import ContainerBrokers
from holdfast.errors import FaultFailed


class Disconnected(Fault):
    """Brokers reach nobody and are reached by nobody; nothing tells either side. The containers end with us.

    Args:
        brokers: the brokers.
        names: those that it happens to.
    """

    def __init__(self, brokers: ContainerBrokers, names: Sequence[str]) -> None:
        self._brokers = brokers
        self._names = tuple(names)
        self._before: dict[str, list[str]] = {}
        self._begun: list[str] = []
        self._is_cut = False

    def begin(self) -> Evidence:
        """Take them off; the engine is asked for the networks that are left to each, which are none.

        Raises:
            FaultFailed: one is off already, or still on a network.
        """
        self._before = self._networks()
        if alone := [name for name, found in self._before.items() if not found]:
            raise FaultFailed(f"{', '.join(alone)} is on no network already")
        for name in self._names:
            self._begun.append(name)
            self._brokers.cluster.disconnect(node_of(name), CutFrom.EVERYBODY)
        left = self._networks()
        if any(left.values()):
            raise FaultFailed(f"still on networks: {left}")
        self._is_cut = True
        return {"networks": left}

    def end(self) -> Evidence:
        """Put each back on the networks that it was on, whatever becomes of the others.

        Raises:
            FaultFailed: one was on a network meanwhile, or is not back on all of them.
        """
        meanwhile = self._networks() if self._is_cut else {}
        with ExitStack() as steps:
            for name in self._begun:
                steps.callback(self._brokers.cluster.connect, node_of(name))
        found = self._networks()
        if missing := [name for name in self._begun if found[name] != self._before[name]]:
            raise FaultFailed(f"{', '.join(missing)} is not back on all networks: {found}")
        if any(meanwhile.values()):
            raise FaultFailed(f"somebody put them back on networks before its end: {meanwhile}")
        return {"networks": found}

    def _networks(self) -> dict[str, list[str]]:
        return {name: self._brokers.cluster.networks(node_of(name)) for name in self._names}
