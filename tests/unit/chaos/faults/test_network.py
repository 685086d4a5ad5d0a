"""A fault of the network is proven by what it did itself, and by nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from holdfast.chaos.faults.network import Disturbed
from holdfast.chaos.network.isolated import Pair, between
from holdfast.chaos.network.links import Link, LinkCount, LinkRule
from holdfast.errors import NothingMet

PAIR = ("clients", "broker-1")


class OneLink:
    """A network of one link, without a switch."""

    def __init__(self) -> None:
        self.link = Link("seed")
        self._rules: dict[str, LinkRule] = {}

    def impose(self, fault: str, rules: Mapping[Pair, LinkRule]) -> None:
        self._rules[fault] = rules[PAIR]
        self.link.set_rules(self._rules)

    def lift(self, fault: str) -> None:
        del self._rules[fault]
        self.link.set_rules(self._rules)

    def counts(self) -> dict[Pair, LinkCount]:
        return {PAIR: self.link.count}


@pytest.fixture
def network() -> Any:
    """The network."""
    return OneLink()


def test_what_another_fault_did_to_the_packets_proves_nothing(network: Any) -> None:
    """A delay behind a cut holds nothing; that packets were dropped there is the cut's proof alone."""
    cut, slow = (
        Disturbed(network, name, between(["clients"], ["broker-1"], rule))
        for name, rule in (("cut", LinkRule(cut=True)), ("slow", LinkRule(delay_s=0.1)))
    )
    cut.begin()
    slow.begin()
    network.link.due(100, 0.0)
    with pytest.raises(NothingMet, match="no packet met it on any of 1 links"):
        slow.end()
    assert cut.end()["links"] == {"clients -> broker-1": {"dropped": 1, "held": 0}}


def test_only_what_came_while_it_lasted_counts(network: Any) -> None:
    fault = Disturbed(network, "loss", between(["clients"], ["broker-1"], LinkRule(loss=1.0)))
    network.link.due(100, 0.0)
    fault.begin()
    for _ in range(3):
        network.link.due(100, 0.0)
    assert fault.end()["dropped"] == 3
    assert network.link.due(100, 1.0) == 1.0


class TwoLinks:
    """A network on which nobody talks to one of two brokers."""

    def __init__(self) -> None:
        self._links = {("clients", broker): Link("seed") for broker in ("broker-1", "broker-2")}

    def impose(self, fault: str, rules: Mapping[Pair, LinkRule]) -> None:
        for pair, link in self._links.items():
            link.set_rules({fault: rules[pair]})
        self._links["clients", "broker-1"].due(100, 0.0)

    def lift(self, _fault: str) -> None:
        """The links are asked no more."""

    def counts(self) -> dict[Pair, LinkCount]:
        return {pair: link.count for pair, link in self._links.items()}


def test_a_broker_with_whom_nobody_talked_was_not_met() -> None:
    network: Any = TwoLinks()
    brokers = ("broker-1", "broker-2")
    fault = Disturbed(network, "cut", between(["clients"], brokers, LinkRule(cut=True)))
    fault.begin()
    fault.end()
    assert fault.met(brokers) == ("broker-1",)
