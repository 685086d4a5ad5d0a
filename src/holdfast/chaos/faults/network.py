"""Faults of the network: cuts in one or both directions, delay, loss, bandwidth."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.chaos.faults.fault import Evidence, Fault
from holdfast.chaos.network.isolated import IsolatedNetwork, Pair
from holdfast.chaos.network.links import LinkRule, Met
from holdfast.errors import FaultFailed, NothingMet


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

    def begin(self) -> Evidence:
        """Impose the rules. That packets suffered from them is told at the end: they come when they come."""
        if not self._rules:
            raise FaultFailed("both sides of the links are the same ones now: there is no link between them")
        self._network.impose(self._name, self._rules)
        return {"links": [f"{source} -> {target}" for source, target in self._rules]}

    def end(self) -> Evidence:
        """Lift the rules; packets that *they* dropped or held are the proof that it happened.

        Raises:
            NothingMet: no packet met them. Another fault on the same links may have dropped all before.
        """
        counts = self._network.counts()
        self._network.lift(self._name)
        found = {pair: counts[pair].met.get(self._name, Met()) for pair in self._rules if pair in counts}
        disturbed = {pair: met for pair, met in found.items() if met.dropped or met.held}
        # One that was silent was not disturbed.
        self._met = frozenset(host for pair in disturbed for host in pair)
        if not disturbed:
            raise NothingMet(f"no packet met it on any of {len(self._rules)} links")
        return {
            "dropped": sum(met.dropped for met in found.values()),
            "held": sum(met.held for met in found.values()),
            "links": {
                f"{source} -> {target}": {"dropped": met.dropped, "held": met.held}
                for (source, target), met in disturbed.items()
            },
        }
