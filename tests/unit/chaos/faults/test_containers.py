"""Containers are off their networks while the fault lasts, and all of them are put back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.chaos.faults.containers import Disconnected
from holdfast.errors import ContainerError, FaultFailed

NAMES = ("broker-1", "broker-2", "broker-3")


class Nodes:
    """Nodes on two networks, of which some stay connected or cannot be put back."""

    def __init__(self) -> None:
        self.at = {node: ["brokers", "clients"] for node in (1, 2, 3)}
        self.stuck: set[int] = set()
        self.lost: set[int] = set()

    def networks(self, node: int) -> list[str]:
        return list(self.at[node])

    def disconnect(self, node: int, _cut_from: object) -> None:
        self.at[node] = ["clients"] if node in self.stuck else []

    def connect(self, node: int) -> None:
        if node in self.lost:
            raise ContainerError(f"connecting node {node}: no answer")
        self.at[node] = ["brokers", "clients"]


@pytest.fixture
def nodes() -> Nodes:
    """Three nodes."""
    return Nodes()


def disconnected(nodes: Nodes) -> Disconnected:
    """A fault of all three."""
    brokers: Any = SimpleNamespace(cluster=nodes)
    return Disconnected(brokers, NAMES)


def test_they_are_on_no_network_and_then_on_all_that_they_were_on(nodes: Nodes) -> None:
    fault = disconnected(nodes)
    assert fault.begin() == {"networks": {name: [] for name in NAMES}}
    assert fault.end() == {"networks": {name: ["brokers", "clients"] for name in NAMES}}


def test_one_that_stays_on_a_network_is_told(nodes: Nodes) -> None:
    nodes.stuck = {2}
    with pytest.raises(FaultFailed, match=r"still on networks: .*'broker-2': \['clients'\]"):
        disconnected(nodes).begin()


def test_one_that_is_off_already_is_left_as_it_is(nodes: Nodes) -> None:
    nodes.at[3] = []
    fault = disconnected(nodes)
    with pytest.raises(FaultFailed, match="broker-3 is on no network already"):
        fault.begin()
    fault.end()
    assert nodes.at[3] == []


def test_one_that_somebody_put_back_before_the_end_is_told(nodes: Nodes) -> None:
    fault = disconnected(nodes)
    fault.begin()
    nodes.connect(1)
    with pytest.raises(FaultFailed, match=r"before its end: .*'broker-1': \['brokers', 'clients'\]"):
        fault.end()


def test_one_that_cannot_be_put_back_keeps_no_other_from_it(nodes: Nodes) -> None:
    fault = disconnected(nodes)
    fault.begin()
    nodes.lost = {2}
    with pytest.raises(ContainerError, match="node 2"):
        fault.end()
    assert [node for node, at in nodes.at.items() if at] == [1, 3]
