"""A second listener for each broker of an embedded cluster, which names the proxy as its address.

Brokers tell clients where to connect, in more than one kind of answer. A listener of its own lets them say
the right thing by themselves: who comes through the proxy is only ever sent to the proxy.
"""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.local.ports import HOST, free_ports
from holdfast.local.spec import ClusterSpec, NodeSpec


class ProxiedListeners:
    """Chooses the ports when the brokers are configured; to be given as their `overrides`.

    Attributes:
        routes: the proxy's ports, with the brokers' ports behind them.
    """

    def __init__(self) -> None:
        self.routes: dict[int, int] = {}
        self._ports: dict[int, tuple[int, int]] = {}

    def __call__(self, cluster: ClusterSpec, node: NodeSpec) -> Mapping[str, str]:
        """The settings of one broker."""
        if node.id not in self._ports:
            taken = {port for each in cluster.nodes for port in (each.port, each.controller_port)}
            taken.update(port for pair in self._ports.values() for port in pair)
            front, behind = free_ports(2, taken=taken)
            self._ports[node.id] = front, behind
            self.routes[front] = behind
        front, behind = self._ports[node.id]
        return {
            "listeners": (
                f"PLAINTEXT://{HOST}:{node.port},CONTROLLER://{HOST}:{node.controller_port},"
                f"PROXIED://{HOST}:{behind}"
            ),
            "advertised.listeners": f"PLAINTEXT://{HOST}:{node.port},PROXIED://{HOST}:{front}",
            "listener.security.protocol.map": ("CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT"),
        }
