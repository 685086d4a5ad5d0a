"""Names and addresses of the hosts in the lab's network. Pure, and the same for all processes of a lab."""

from __future__ import annotations

from dataclasses import dataclass

BROKER_PORT = 9092
CONTROLLER_PORT = 9093
"""Every broker has an address of its own, so all have the same ports."""

CLIENTS = "clients"
"""The host of everything that talks to brokers and is no worker with a host of its own."""

MOST = 99
"""Brokers, and workers, that a network has addresses for."""

HOST_VARIABLE = "HOLDFAST_CHAOS_HOST"
"""Variable of a process's environment that says which host it stands for: ``worker-0``."""


@dataclass(frozen=True, slots=True)
class Hosts:
    """Who is on the network.

    Attributes:
        brokers: ids of the brokers.
        workers: names of the processes that can be cut off one by one.
    """

    brokers: tuple[int, ...]
    workers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.brokers) > MOST or len(self.workers) > MOST:
            raise ValueError(f"a network has room for {MOST} brokers and {MOST} workers")

    @property
    def addresses(self) -> dict[str, str]:
        """Address of each host, by its name."""
        brokers = {broker(node): broker_address(node) for node in self.brokers}
        workers = {name: f"10.77.0.{101 + number}" for number, name in enumerate(self.workers)}
        return {**brokers, CLIENTS: "10.77.0.100", **workers}

    @property
    def client_side(self) -> tuple[str, ...]:
        """All hosts that are no brokers."""
        return (CLIENTS, *self.workers)


def broker(node: int) -> str:
    """Name of a broker's host."""
    return f"broker-{node}"


def broker_address(node: int) -> str:
    """Address of a broker: its id, from 1 to 99."""
    return f"10.77.0.{node}"
