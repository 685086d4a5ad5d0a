"""An embedded cluster to be broken: real brokers, on a network, disks and clocks of the lab where wanted."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from holdfast.chaos.experiment.catalogue import ClusterKind
from holdfast.chaos.lab.broker_logs import LOG_BYTES, write_log
from holdfast.chaos.lab.brokers import EmbeddedBrokers, broker_name
from holdfast.chaos.lab.clocks import Clocks
from holdfast.chaos.lab.disks import Disks
from holdfast.chaos.lab.guarded import GuardedLab
from holdfast.chaos.network.hosts import Hosts
from holdfast.chaos.network.isolated import IsolatedNetwork
from holdfast.local.cluster import EmbeddedCluster
from holdfast.local.housing import Housing
from holdfast.local.progress import Progress
from holdfast.local.settings import Overrides
from holdfast.local.spec import ClusterSpec, NodeSpec


@dataclass(frozen=True, slots=True)
class LabSettings:
    """What a lab has.

    Attributes:
        brokers: how many.
        isolated: whether each broker is a host of a network that can be disturbed.
        small_disks: whether each broker has a disk of its own that can be full or slow.
        clocks: whether the brokers' clocks can be set.
        workers: names of workers that are hosts of the network.
        overrides: broker settings that replace the built-in ones.
        seed: of what the network throws for.
        release: the older Kafka that the brokers begin with; None for the embedded one.
    """

    brokers: int = 3
    isolated: bool = False
    small_disks: bool = False
    clocks: bool = False
    workers: tuple[str, ...] = ()
    overrides: Overrides | None = None
    seed: int = 0
    release: str | None = None


class LabHousing(Housing):
    """Brokers in the lab.

    Args:
        network: the lab's network; None for plain loopback.
        clocks: the lab's clocks; None for the system's.
    """

    def __init__(self, network: IsolatedNetwork | None, clocks: Clocks | None) -> None:
        self._network = network or Housing()
        self._clocks = clocks

    def settings(self, spec: ClusterSpec, node: NodeSpec) -> Mapping[str, str]:
        """The network's."""
        return self._network.settings(spec, node)

    def prepare(self, spec: ClusterSpec) -> None:
        """The network is ready when its ports are open."""
        self._network.prepare(spec)

    def command(self, node: NodeSpec, command: Sequence[str]) -> list[str]:
        """In the network."""
        return self._network.command(node, command)

    def environment(self, node: NodeSpec) -> Mapping[str, str]:
        """With a clock that can be set."""
        return self._clocks.environment(node.id) if self._clocks is not None else {}


class EmbeddedLab(GuardedLab):
    """A cluster to be broken, with everything that undoes what is done to it. Use it in a ``with`` statement.

    Args:
        settings: what it has.
        progress: told about the steps of the brokers' start.

    Attributes:
        cluster: the brokers as others use them.
        brokers: the brokers as faults see them.
        journal: what is under way.
        network: the network, if it is isolated.
        disks: the disks, if it has small ones.
        clocks: the clocks, if they can be set.
    """

    kind: ClusterKind = "embedded"
    cluster: EmbeddedCluster
    brokers: EmbeddedBrokers
    network: IsolatedNetwork | None = None
    disks: Disks | None = None
    clocks: Clocks | None = None

    def __init__(self, settings: LabSettings, progress: Progress | None = None) -> None:
        self.settings = settings
        self._progress = progress
        super().__init__()

    @property
    def bootstrap_servers(self) -> str:
        """The value for ``bootstrap.servers``."""
        return self.cluster.bootstrap_servers

    def save_logs(self, folder: Path) -> None:
        """The ends of the logs that their processes write."""
        for node in self.cluster.nodes:
            path = self.cluster.node(node.id).files.log
            with path.open("rb") as log:
                log.seek(max(path.stat().st_size - LOG_BYTES, 0))
                write_log(folder, broker_name(node.id), log.read())

    def _open(self, folder: Path) -> None:
        wanted, nodes = self.settings, range(1, self.settings.brokers + 1)
        if wanted.isolated:
            network = IsolatedNetwork(Hosts(tuple(nodes), wanted.workers), wanted.seed)
            self.network = self._stack.enter_context(network)
        if wanted.clocks:
            self.clocks = Clocks(folder)
        self.cluster = EmbeddedCluster.temporary(
            wanted.brokers,
            overrides=wanted.overrides,
            progress=self._progress,
            housing=LabHousing(self.network, self.clocks),
            release=wanted.release,
        )
        self.brokers = EmbeddedBrokers(self.cluster)
        # Before the first thing that may fail: its folder is to be deleted, and its disks unmounted.
        self._stack.callback(shutil.rmtree, self.cluster.folder, ignore_errors=True)
        self._stack.callback(self._stop)
        if wanted.small_disks:
            self.disks = Disks(self.cluster.folder, nodes, self.journal)
        if wanted.release is not None:
            # Before the run: a download in its midst may fail, or take as long as the run.
            self.cluster.fetch_upgrade()
        self.cluster.start()

    def _stop(self) -> None:
        """Stop the brokers, then take their disks away, then delete the rest."""
        with ExitStack() as steps:
            # The last is done first, and each is done whatever becomes of the others.
            steps.callback(self.cluster.stop)
            if self.disks is not None:
                steps.callback(self.disks.close)
            if self.cluster.is_running:
                for name in self.brokers.names:
                    steps.callback(self.brokers.kill, name)
