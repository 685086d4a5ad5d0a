"""The lab's network as its owner sees it: a place for brokers, and rules for what passes between hosts."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from holdfast.chaos.helpers import Helper
from holdfast.chaos.network.hosts import (
    BROKER_PORT,
    CLIENTS,
    CONTROLLER_PORT,
    Hosts,
    broker,
    broker_address,
)
from holdfast.chaos.network.links import LinkCount, LinkRule
from holdfast.errors import ChaosError
from holdfast.local.housing import Housing
from holdfast.local.ports import HOST
from holdfast.local.spec import ClusterSpec, NodeSpec

Pair = tuple[str, str]
"""One direction: from which host to which."""

_INNER_PORT = 9094


class IsolatedNetwork(Housing):
    """Brokers in namespaces of their own. Clients go on using ``bootstrap_servers`` on loopback.

    Args:
        hosts: who is on it.
        seed: of what is thrown for: which packets are lost, how much each is late.

    Raises:
        ChaosError: the permission, or something of the system, is missing; says what.
    """

    def __init__(self, hosts: Hosts, seed: int = 0) -> None:
        self.hosts = hosts
        # Faults begin and end on threads of their own, and a question belongs to its answer.
        self._lock = threading.Lock()
        self._faults: dict[str, Mapping[Pair, LinkRule]] = {}
        who = {"brokers": list(hosts.brokers), "workers": list(hosts.workers), "seed": seed}
        self._switch = _helper("switch", who)
        self._namespaces: dict[str, int] = self._switch.first["namespaces"]
        self._relay: Helper | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the network. Brokers that still run are alone then."""
        for helper in (self._relay, self._switch):
            if helper is not None:
                helper.end()

    # -- as a place for brokers

    def settings(self, spec: ClusterSpec, node: NodeSpec) -> Mapping[str, str]:
        """Two listeners: the brokers' own network, and the ports of loopback that stand for it."""
        voters = ",".join(f"{n.id}@{broker_address(n.id)}:{CONTROLLER_PORT}" for n in spec.nodes)
        address = broker_address(node.id)
        return {
            "controller.quorum.voters": voters,
            "listeners": f"BROKERS://{address}:{_INNER_PORT},CLIENTS://{address}:{BROKER_PORT},"
            f"CONTROLLER://{address}:{CONTROLLER_PORT}",
            "advertised.listeners": f"BROKERS://{address}:{_INNER_PORT},CLIENTS://{HOST}:{node.port}",
            "inter.broker.listener.name": "BROKERS",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,BROKERS:PLAINTEXT,CLIENTS:PLAINTEXT",
        }

    def prepare(self, spec: ClusterSpec) -> None:
        """Open the ports of loopback: they are settled now."""
        if self._relay is not None:
            self._relay.end()
        places = {
            "namespace": self._namespace(CLIENTS),
            "brokers": {str(n.id): [n.port, broker_address(n.id)] for n in spec.nodes},
            "hosts": self.hosts.addresses,
        }
        self._relay = _helper("relay", places)

    def command(self, node: NodeSpec, command: Sequence[str]) -> list[str]:
        """Start a broker in its namespace."""
        return ["nsenter", f"--net={self._namespace(broker(node.id))}", "--", *command]

    def _namespace(self, host: str) -> str:
        return f"/proc/{self._switch.pid}/fd/{self._namespaces[host]}"

    # -- what passes

    def impose(self, fault: str, rules: Mapping[Pair, LinkRule]) -> None:
        """Begin a fault, or change it: these rules lie behind those of other faults.

        Raises:
            ChaosError: a host is not on the network, or the switch has ended.
        """
        unknown = {name for pair in rules for name in pair} - set(self._namespaces)
        if unknown:
            raise ChaosError(
                f"not on the network: {', '.join(sorted(unknown))}. There are: {', '.join(self._namespaces)}."
            )
        with self._lock:
            self._faults[fault] = rules
            self._apply()

    def lift(self, fault: str) -> None:
        """End a fault; nothing happens if there is none of this name."""
        with self._lock:
            if self._faults.pop(fault, None) is not None:
                self._apply()

    def counts(self) -> dict[Pair, LinkCount]:
        """What happened on each link since the beginning, and what faults that are under way did there."""
        with self._lock:
            answer = self._switch.ask({"counts": True})
        return {(source, target): LinkCount.of(count) for source, target, count in answer["counts"]}

    def _apply(self) -> None:
        rules = [
            (fault, *pair, rule.as_json())
            for fault, each in self._faults.items()
            for pair, rule in each.items()
        ]
        self._switch.ask({"rules": rules})


def between(ones: Iterable[str], others: Iterable[str], rule: LinkRule) -> dict[Pair, LinkRule]:
    """Rules for everything that goes from one side to the other, in this direction only."""
    others = tuple(others)
    return {(one, other): rule for one in ones for other in others if one != other}


def _helper(part: str, settings: dict[str, Any]) -> Helper:
    """A process of the network."""
    return Helper(
        f"holdfast.chaos.network.{part}",
        f"the {part} of the lab's network",
        settings,
        loss="brokers and workers do not reach each other any more",
    )
