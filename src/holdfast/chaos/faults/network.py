"""Faults of the network: cuts in one or both directions, delay, loss, bandwidth."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.chaos.faults.fault import Evidence, Fault
from holdfast.chaos.network.isolated import IsolatedNetwork, Pair
from holdfast.chaos.network.links import LinkCount, LinkRule
from holdfast.errors import FaultFailed


class Disturbed(Fault):
    """Links of the lab's network lose, hold or cut what passes.

    The links heal by themselves when the runner is gone: the switch that carries the packets ends with it.

    Args:
        network: the lab's network.
        name: of the fault, different from all others under way.
        rules: what happens on which link.
    """

    def __init__(self, network: IsolatedNetwork, name: str, rules: Mapping[Pair, LinkRule]) -> None:
        self._network = network
        self._name = name
        self._rules = rules
        self._before: Mapping[Pair, LinkCount] = {}

    def begin(self) -> Evidence:
        """Impose the rules. That packets suffered from them is told at the end: they come when they come."""
        if not self._rules:
            raise FaultFailed("both sides of the links are the same ones now: there is no link between them")
        self._before = self._network.counts()
        self._network.impose(self._name, self._rules)
        return {"links": [f"{source} -> {target}" for source, target in self._rules]}

    def end(self) -> Evidence:
        """Lift the rules; packets that were dropped or held meanwhile are the proof that it happened.

        Raises:
            FaultFailed: no packet met them.
        """
        found = self._network.counts()
        self._network.lift(self._name)
        changed = {
            pair: found[pair].minus(self._before.get(pair, LinkCount()))
            for pair in self._rules
            if pair in found
        }
        if not any(count.dropped or count.held for count in changed.values()):
            raise FaultFailed(f"no packet met it on any of {len(self._rules)} links")
        return {
            "dropped": sum(count.dropped for count in changed.values()),
            "held": sum(count.held for count in changed.values()),
            "links": {
                f"{source} -> {target}": {"dropped": count.dropped, "held": count.held}
                for (source, target), count in changed.items()
                if count.dropped or count.held
            },
        }
