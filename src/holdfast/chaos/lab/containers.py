"""Brokers in containers, as faults see them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from holdfast.chaos.containers.cluster import ContainerCluster
from holdfast.chaos.containers.node import State
from holdfast.chaos.experiment.catalogue import ClusterKind
from holdfast.chaos.lab.broker_logs import write_log
from holdfast.chaos.lab.brokers import broker_name, is_registered, node_of
from holdfast.chaos.lab.guarded import GuardedLab
from holdfast.chaos.undo.actions import Action, Run
from holdfast.local.progress import Progress


class ContainerBrokers:
    """Brokers in containers, by the names ``broker-1``, ``broker-2``, ...

    Args:
        cluster: a cluster that runs: its containers end with us, however we end.
    """

    def __init__(self, cluster: ContainerCluster) -> None:
        self.cluster = cluster

    @property
    def names(self) -> Sequence[str]:
        """All brokers."""
        return tuple(map(broker_name, self.cluster.node_ids))

    def incarnation(self, name: str) -> str | None:
        """Its container and when that began."""
        node = node_of(name)
        if self.cluster.state(node) not in (State.RUNNING, State.PAUSED):
            return None
        return f"container {self.cluster.container(node)[:12]} since {self.cluster.started_at(node)}"

    def is_suspended(self, name: str) -> bool:
        """Whether it is paused."""
        return self.cluster.state(node_of(name)) is State.PAUSED

    def kill(self, name: str) -> None:
        """SIGKILL to its container."""
        self.cluster.kill(node_of(name))

    def stop(self, name: str) -> bool:
        """SIGTERM, and SIGKILL after a time; whether it came to that."""
        return self.cluster.stop_node(node_of(name))

    def start(self, name: str) -> None:
        """Start it again, if it is down."""
        if self.incarnation(name) is None:
            self.cluster.start_node(node_of(name))

    def suspend(self, name: str) -> None:
        """Pause its container."""
        self.cluster.pause(node_of(name))

    def resume(self, name: str) -> None:
        """Let it go on."""
        self.cluster.unpause(node_of(name))

    def undo_of_suspend(self, name: str) -> Action | None:
        """``docker unpause``."""
        container = self.cluster.container(node_of(name))
        return Run(command=("docker", "unpause", container), done=("is not paused", "No such container"))

    def undo_of_end(self, _name: str) -> Action | None:
        """Nothing: the containers end with us."""
        return None

    def takes_part(self, name: str) -> bool:
        """Whether the others count it among the brokers."""
        return is_registered(self.cluster.bootstrap_servers, name)

    def wait_until_whole(self, timeout: float) -> None:
        """Wait until every broker is registered and the cluster serves."""
        self.cluster.wait_ready(timeout)


class ContainerLab(GuardedLab):
    """A cluster of containers to be broken. Use it in a ``with`` statement.

    Args:
        nodes: how many brokers.
        progress: told about the steps of a start.

    Attributes:
        brokers: the brokers as faults see them.
        journal: what is under way.
    """

    kind: ClusterKind = "containers"
    brokers: ContainerBrokers
    network = disks = clocks = None

    def __init__(self, nodes: int, progress: Progress | None = None) -> None:
        self._cluster = ContainerCluster(nodes, progress=progress)
        super().__init__()

    @property
    def bootstrap_servers(self) -> str:
        """The value for ``bootstrap.servers``."""
        return self._cluster.bootstrap_servers

    def save_logs(self, folder: Path) -> None:
        """What the engine has of their output."""
        for node in self._cluster.node_ids:
            write_log(folder, broker_name(node), self._cluster.log(node).encode())

    def _open(self, folder: Path) -> None:  # noqa: ARG002
        self.brokers = ContainerBrokers(self._stack.enter_context(self._cluster))
