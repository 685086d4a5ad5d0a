"""The brokers of an embedded cluster, as faults see them."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Sequence

import psutil

from holdfast.chaos.lab import processes
from holdfast.chaos.undo.actions import Action
from holdfast.errors import ClusterError, FaultFailed
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.departures import present_brokers
from holdfast.kafka.probe import PROBE_NAME
from holdfast.local.cluster import EmbeddedCluster
from holdfast.local.jars import release_of

_PREFIX = "broker-"
_LOOK_S = 0.1
_INTERNAL = ("__consumer_offsets", "__transaction_state")


def broker_name(node: int) -> str:
    """The name of a node."""
    return f"{_PREFIX}{node}"


class EmbeddedBrokers:
    """Brokers that are processes of this machine, by the names ``broker-1``, ``broker-2``, ...

    Args:
        cluster: a temporary cluster: its brokers end with us, however we end.
    """

    def __init__(self, cluster: EmbeddedCluster) -> None:
        self._cluster = cluster

    @property
    def names(self) -> Sequence[str]:
        """All brokers."""
        return tuple(broker_name(node.id) for node in self._cluster.nodes)

    def incarnation(self, name: str) -> str | None:
        """Its pid and when it began."""
        return processes.incarnation(self._process(name))

    def is_suspended(self, name: str) -> bool:
        """Whether it has SIGSTOP."""
        return processes.is_suspended(self._process(name))

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self._cluster.kill(node_of(name))

    def stop(self, name: str) -> bool:
        """SIGTERM, and SIGKILL after a time; whether it came to that."""
        return self._cluster.stop_node(node_of(name))

    def start(self, name: str) -> None:
        """Start it again."""
        self._cluster.start_node(node_of(name))

    def suspend(self, name: str) -> None:
        """SIGSTOP."""
        processes.send(self._process(name), signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        processes.send(self._process(name), signal.SIGCONT)

    def undo_of_suspend(self, name: str) -> Action | None:
        """SIGCONT."""
        return processes.undo_of_suspend(self._process(name))

    def undo_of_end(self, _name: str) -> Action | None:
        """Nothing: the brokers end with us."""
        return None

    def release(self, name: str) -> str | None:
        """The release of Kafka that its process runs, by its command line; None if it is down."""
        process = self._process(name)
        if process is None:
            return None
        with contextlib.suppress(psutil.NoSuchProcess):
            return release_of(jar for part in process.cmdline() for jar in part.split(":"))
        return None

    def upgrade(self) -> None:
        """Let brokers that are started from now on run the release that Holdfast embeds."""
        self._cluster.upgrade()

    def takes_part(self, name: str) -> bool:
        """Whether the others count it among the brokers."""
        return is_registered(self._cluster.bootstrap_servers, name)

    def wait_until_whole(self, timeout: float) -> None:
        """Wait until every broker is registered, the cluster serves, and every copy is in sync.

        Raises:
            BrokersUnreachable: it does not serve in time.
            FaultFailed: copies are behind.
        """
        deadline = time.monotonic() + timeout
        self._cluster.wait_ready(timeout)
        admin = TopicAdmin(self._cluster.bootstrap_servers)
        while behind := _behind(admin):
            if time.monotonic() > deadline:
                raise FaultFailed(f"copies are not in sync after {timeout:.0f} s: {', '.join(behind)}")
            time.sleep(_LOOK_S)

    def _process(self, name: str) -> psutil.Process | None:
        return self._cluster.node(node_of(name)).process()


def is_registered(bootstrap_servers: str, name: str) -> bool:
    """Whether a broker takes part in its cluster, by what any of the brokers tells."""
    try:
        return node_of(name) in present_brokers(bootstrap_servers, None, PROBE_NAME)
    except ClusterError:
        return False


def _behind(admin: TopicAdmin) -> list[str]:
    """Partitions with copies that are behind, Kafka's own as well."""
    found = {**admin.topics(), **admin.topics(_INTERNAL)}
    return [f"{name}/{number}" for name, state in found.items() for number in state.under_replicated]


def node_of(name: str) -> int:
    """The id of a broker."""
    return int(name.removeprefix(_PREFIX))
