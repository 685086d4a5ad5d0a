"""The switch: a process that makes the hosts' namespaces and carries every packet between them.

``python -m holdfast.chaos.network.switch '{"brokers": [1, 2, 3], "workers": ["worker-0"], "seed": 7}'`` says
{"namespaces": {host: descriptor}}, and then is spoken to in lines of JSON on its standard input and output:

    {"rules": [[fault, from, to, {...}], ...]}
                                replaces all rules; answered by {"rules": how many}
    {"counts": true}            answered by {"counts": [[from, to, {...}], ...]}

It ends when its input closes. So no fault of the network outlives the program that asked for it: the kernel
closes the pipe however that program ends, and removes the devices and namespaces with this process.
"""

from __future__ import annotations

import heapq
import json
import os
import select
import sys
import time
from dataclasses import asdict
from itertools import count
from typing import Any

from holdfast.chaos.helpers import Lines, say
from holdfast.chaos.network.hosts import Hosts, broker
from holdfast.chaos.network.links import Link, LinkRule
from holdfast.chaos.network.namespaces import MTU, Host, make_host
from holdfast.errors import ChaosError

_BURST = 64
"""Packets that are taken from one host before the others have their turn."""

_TCP_OR_UDP = {6, 17}


class Switch:
    """Hosts and the links between any two of them.

    Args:
        hosts: who is there.
        seed: of all that is thrown for.
    """

    def __init__(self, hosts: Hosts, seed: int) -> None:
        addresses = hosts.addresses
        self.namespaces: dict[str, int] = {}
        self._names = {bytes(map(int, address.split("."))): name for name, address in addresses.items()}
        self._tunnels: dict[bytes, int] = {}
        # What does not speak to brokers is in one namespace, and nothing of it passes between two of those.
        beside = set(hosts.client_side)
        self._links = {
            (source, target): Link(f"{seed} {name} {other}")
            for source, name in self._names.items()
            for target, other in self._names.items()
            if source != target and not {name, other} <= beside
        }
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._order = count()
        for name in map(broker, hosts.brokers):
            self._add(make_host(addresses[name]), name)
        # Workers are programs outside of any namespace, and share one with all clients: a relay that stands
        # there speaks for each of them from an address of its own.
        self._add(make_host(*(addresses[name] for name in hosts.client_side)), *hosts.client_side)

    def _add(self, host: Host, *names: str) -> None:
        by_name = {name: address for address, name in self._names.items()}
        for name in names:
            self._tunnels[by_name[name]] = host.tunnel
            self.namespaces[name] = host.namespace

    @property
    def descriptors(self) -> set[int]:
        """What has to be watched for packets."""
        return set(self._tunnels.values())

    def set_rules(self, rules: list[tuple[str, str, str, dict[str, Any]]]) -> None:
        """Replace all rules. Packets that are held stay so."""
        wanted: dict[tuple[str, str], dict[str, LinkRule]] = {}
        for fault, source, target, rule in rules:
            wanted.setdefault((source, target), {})[fault] = LinkRule(**rule)
        for (start, end), link in self._links.items():
            link.set_rules(wanted.get((self._names[start], self._names[end]), {}))

    def counts(self) -> list[tuple[str, str, dict[str, Any]]]:
        """What happened on each link that was used."""
        return [
            (self._names[source], self._names[target], asdict(link.count))
            for (source, target), link in self._links.items()
            if link.is_used
        ]

    def carry(self, tunnel: int) -> None:
        """Take the packets that a host has sent, a burst at most."""
        for _ in range(_BURST):
            try:
                packet = os.read(tunnel, MTU)
            except BlockingIOError:
                return
            link = self._links.get((packet[12:16], packet[16:20]))
            # Anything else is the system's own chatter: IPv6, multicast.
            if link is None or packet[9] not in _TCP_OR_UDP:
                continue
            now = time.monotonic()
            at = link.due(len(packet), now)
            if at is None:
                continue
            target = self._tunnels[packet[16:20]]
            if at <= now:
                _deliver(target, packet)
            else:
                heapq.heappush(self._waiting, (at, next(self._order), target, packet))

    def deliver_due(self) -> float | None:
        """Pass on what was held long enough; seconds until the next is due, or None."""
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            _, _, target, packet = heapq.heappop(self._waiting)
            _deliver(target, packet)
        return self._waiting[0][0] - now if self._waiting else None


def _deliver(tunnel: int, packet: bytes) -> None:
    try:
        os.write(tunnel, packet)
    except BlockingIOError:
        """The host's queue is full: the packet is lost, as on any network, and its sender will repeat it."""


def _answer(switch: Switch, asked: dict[str, Any]) -> None:
    if "rules" in asked:
        switch.set_rules(asked["rules"])
        say({"rules": len(asked["rules"])})
    else:
        say({"counts": switch.counts()})


def _run(switch: Switch, control: int, lines: Lines) -> None:
    poll = select.epoll()
    for descriptor in (control, *switch.descriptors):
        poll.register(descriptor, select.EPOLLIN)
    while True:
        wait = switch.deliver_due()
        for descriptor, _ in poll.poll(-1 if wait is None else max(wait, 0.0)):
            if descriptor != control:
                switch.carry(descriptor)
                continue
            for asked in lines.read():
                _answer(switch, asked)


def main() -> None:
    """Serve until the input closes."""
    control = sys.stdin.fileno()
    first = json.loads(sys.argv[1])
    try:
        hosts = Hosts(tuple(first["brokers"]), tuple(first["workers"]))
        switch = Switch(hosts, first["seed"])
    except ChaosError as error:
        say({"error": str(error)})
        return
    say({"namespaces": switch.namespaces})
    try:
        _run(switch, control, Lines(control))
    except EOFError:
        """Its owner is gone."""


if __name__ == "__main__":
    main()
