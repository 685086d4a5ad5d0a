"""Containers are taken off their networks."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.chaos.containers.cluster import CutFrom
from holdfast.chaos.faults.fault import Evidence, Fault
from holdfast.chaos.lab.brokers import node_of
from holdfast.chaos.lab.containers import ContainerBrokers


class Disconnected(Fault):
    """Brokers reach nobody and are reached by nobody; nothing tells either side. The containers end with us.

    Args:
        brokers: the brokers.
        names: those that it happens to.
    """

    def __init__(self, brokers: ContainerBrokers, names: Sequence[str]) -> None:
        self._brokers = brokers
        self._names = tuple(names)

    def begin(self) -> Evidence:
        """Take them off; the engine is asked for the networks that are left to each."""
        for name in self._names:
            self._brokers.cluster.disconnect(node_of(name), CutFrom.EVERYBODY)
        return {"networks": self._networks()}

    def end(self) -> Evidence:
        """Put them back."""
        for name in self._names:
            self._brokers.cluster.connect(node_of(name))
        return {"networks": self._networks()}

    def _networks(self) -> dict[str, list[str]]:
        return {name: self._brokers.cluster.networks(node_of(name)) for name in self._names}
