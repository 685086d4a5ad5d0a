"""Addresses of the lab's network."""

from __future__ import annotations

import pytest

from holdfast.chaos.network.hosts import Hosts


def test_every_host_has_an_address_of_its_own() -> None:
    hosts = Hosts((1, 2, 3), ("worker-0", "worker-1"))
    assert set(hosts.addresses) == {"broker-1", "broker-2", "broker-3", "clients", "worker-0", "worker-1"}
    assert len(set(hosts.addresses.values())) == 6


def test_clients_and_workers_are_the_side_of_the_clients() -> None:
    assert Hosts((1,), ("worker-0",)).client_side == ("clients", "worker-0")


def test_a_network_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="99 brokers"):
        Hosts(tuple(range(1, 101)))
