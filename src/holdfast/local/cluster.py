"""The embedded cluster: real Apache Kafka brokers as local processes.

    with EmbeddedCluster.temporary() as cluster:
        AdminClient({"bootstrap.servers": cluster.bootstrap_servers})

A cluster lives in a folder, not in an object: the brokers go on when the object or the process that
started them ends, and any number of objects may stand for the same folder. What runs is read from
the process table (`holdfast.local.node`). Starting and stopping hold the folder's lock, so
two commands at once follow one another. A *temporary* cluster instead ends with its process.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from holdfast.errors import EmbeddedClusterError
from holdfast.kafka.probe import wait_until_ready
from holdfast.local.archive import ensure_archive
from holdfast.local.folders import cluster_folder, make_folder
from holdfast.local.housing import Housing
from holdfast.local.jars import JarCache, pinned_jars
from holdfast.local.jvm import Kafka
from holdfast.local.locking import exclusive
from holdfast.local.node import Node
from holdfast.local.progress import Progress, Silent
from holdfast.local.settings import Overrides
from holdfast.local.spec import ClusterSpec, load_spec, save_spec
from holdfast.local.startup import (
    DEFAULT_NODES,
    DISCARD_TIMEOUT_S,
    START_TIMEOUT_S,
    STOP_TIMEOUT_S,
    Startup,
    claim,
    kill_processes,
    stop_nodes,
)
from holdfast.local.status import NodeStatus, status_of
from holdfast.local.watchdog import Watchdog


class EmbeddedCluster:
    """A cluster of combined broker and controller nodes in one folder.

    Args:
        folder: where it lives; by default the user's data folder.
        nodes: how many; None means what the folder has, else three.
        keep: topic data outlives `stop`. Once set it stays set, until the data is deleted.
        overrides: broker settings that replace the built-in ones; a function when they differ between nodes.
        progress: told about the steps of a start.
        jars: where the jars come from.
        housing: where the brokers live; by default they are plain processes.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        nodes: int | None = None,
        keep: bool = False,
        overrides: Overrides | None = None,
        progress: Progress | None = None,
        jars: JarCache | None = None,
        housing: Housing | None = None,
    ) -> None:
        self.folder = (folder or cluster_folder()).absolute()
        self._wanted = nodes
        self._keep = keep
        self._overrides: Overrides = overrides or {}
        self._progress = progress or Silent()
        self._jars = jars or JarCache()
        self._housing = housing or Housing()
        self._is_outdated = False
        self._watchdog: Watchdog | None = None
        self._temporary = False

    @classmethod
    def temporary(
        cls,
        nodes: int = DEFAULT_NODES,
        *,
        overrides: Overrides | None = None,
        progress: Progress | None = None,
        housing: Housing | None = None,
        release: str | None = None,
    ) -> Self:
        """Return a cluster in a new temporary folder that ends with this process, even if it is killed.

        Args:
            nodes: how many.
            overrides: broker settings that replace the built-in ones.
            progress: told about the steps of a start.
            housing: where the brokers live.
            release: an older Kafka that the brokers begin with, one of `holdfast.local.jars.older_releases`.

        Raises:
            EmbeddedClusterError: that release is not pinned.
        """
        jars = JarCache(jars=pinned_jars(release))
        folder = Path(tempfile.mkdtemp(prefix="holdfast-"))
        cluster = cls(folder, nodes=nodes, overrides=overrides, progress=progress, jars=jars, housing=housing)
        cluster._temporary = True
        cluster._is_outdated = release is not None
        return cluster

    # -- what it is ------------------------------------------------------------------------------

    @property
    def spec(self) -> ClusterSpec:
        """Identity and ports.

        Raises:
            EmbeddedClusterError: the folder holds no cluster.
        """
        spec = load_spec(self.folder)
        if spec is None:
            raise EmbeddedClusterError(f"there is no cluster in {self.folder}; `holdfast up` makes one.")
        return spec

    @property
    def bootstrap_servers(self) -> str:
        """The value for ``bootstrap.servers``."""
        return self.spec.bootstrap_servers

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Its nodes, in the order of their ids; `Node.pid` tells whether one runs."""
        return tuple(Node(self.folder, node) for node in self.spec.nodes)

    def node(self, node_id: int) -> Node:
        """Return the node with this id.

        Raises:
            EmbeddedClusterError: there is none.
        """
        for node in self.nodes:
            if node.id == node_id:
                return node
        raise EmbeddedClusterError(f"the cluster in {self.folder} has no node {node_id}.")

    def status(self) -> tuple[NodeStatus, ...]:
        """Look at every node; empty if the folder holds no cluster."""
        return tuple(map(status_of, self.nodes)) if load_spec(self.folder) else ()

    @property
    def is_running(self) -> bool:
        """Whether at least one broker process exists."""
        return load_spec(self.folder) is not None and any(node.process() for node in self.nodes)

    # -- as a whole ------------------------------------------------------------------------------

    def start(self) -> tuple[int, ...]:
        """Start the nodes that do not run and wait until the cluster is ready.

        Returns:
            The ids of the nodes that were started: all, those that had crashed, or none.

        Raises:
            EmbeddedClusterError: it cannot be started; nodes started by this call are stopped again.
            BrokersUnreachable: it did not become ready in time.
        """
        make_folder(self.folder, purpose="the cluster's data", variable="HOLDFAST_HOME")
        kafka = self._kafka()
        with self._exclusively():
            spec = claim(self.folder, self._wanted, keep=self._keep)
            if self._temporary and self._watchdog is None:
                self._watchdog = Watchdog(self.folder)
            missing = tuple(node.id for node in self.nodes if node.process() is None)
            if missing:
                startup = Startup(self.folder, kafka, self._overrides, self._progress, self._housing)
                startup.run(spec, frozenset(missing))
            else:
                # Another start may have been killed between launching the brokers and seeing them ready.
                self.wait_ready()
            return missing

    def stop(self, *, delete_data: bool = False) -> None:
        """Stop every node: SIGTERM, a time to finish, then SIGKILL. The logs stay.

        Args:
            delete_data: also delete kept topic data. Data that is not kept is deleted anyway.
        """
        if load_spec(self.folder) is not None:
            with self._exclusively():
                discard = delete_data or not self.spec.keep
                if any(node.pid is not None for node in self.nodes):
                    self._progress.step("Stopping the brokers")
                stop_nodes(self.nodes, timeout=DISCARD_TIMEOUT_S if discard else STOP_TIMEOUT_S)
                if discard:
                    self._delete_data()
        if self._watchdog is not None:
            self._watchdog.release()
            self._watchdog = None

    def wait_ready(self, timeout: float = START_TIMEOUT_S, *, brokers: int | None = None) -> None:
        """Wait until the cluster serves: brokers registered, controller, both coordinators.

        Args:
            timeout: seconds.
            brokers: how many brokers must be there; by default all.

        Raises:
            BrokersUnreachable: it did not become ready in time.
        """
        spec = self.spec
        wait_until_ready(spec.bootstrap_servers, brokers=brokers or len(spec.nodes), timeout=timeout)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- one node at a time, for experiments -------------------------------------------------------

    def kill(self, node_id: int) -> None:
        """SIGKILL a node and return when it is gone.

        Raises:
            EmbeddedClusterError: it is still there although it was killed.
        """
        process = self.node(node_id).process()
        if process is not None:
            kill_processes([process])

    def stop_node(self, node_id: int, *, timeout: float = STOP_TIMEOUT_S) -> bool:
        """Stop a node in good order (SIGTERM) and return when it is gone; SIGKILL after `timeout` seconds.

        Returns:
            Whether it had to be killed.
        """
        return stop_nodes((self.node(node_id),), timeout=timeout)

    def start_node(self, node_id: int) -> None:
        """Start a node that was stopped or killed; `wait_ready` tells when it serves.

        Raises:
            EmbeddedClusterError: the cluster was never started, or the program cannot be run.
        """
        node = self.node(node_id)
        if node.process() is None:
            node.launch(self._kafka(), self._housing)

    def upgrade(self) -> None:
        """Let every node that is started from now on run the embedded release, whichever it began with.

        The cluster's feature levels (`metadata.version`) stay as the older release has formatted them, as in
        a rolling upgrade before its last step (docs of Kafka, "Upgrading").

        Raises:
            EmbeddedClusterError: its jars cannot be fetched; the nodes go on with what they began with.
        """
        if self._is_outdated:
            self.fetch_upgrade()
            self._jars, self._is_outdated = JarCache(), False

    def fetch_upgrade(self) -> None:
        """Fetch what `upgrade` takes, so that it need not be fetched while nodes are down.

        Raises:
            EmbeddedClusterError: it cannot be.
        """
        _ready_to_run(JarCache(), self._progress)

    # --------------------------------------------------------------------------------------------

    def _kafka(self) -> Kafka:
        """Fetch what Kafka needs to run, unless it is there."""
        if self._is_outdated:
            # Making an archive takes longer than it saves for brokers that are started once.
            return Kafka(self._jars.class_path(self._progress))
        return _ready_to_run(self._jars, self._progress)

    def _exclusively(self) -> AbstractContextManager[None]:
        return exclusive(
            self.folder / ".lock",
            lambda: self._progress.step("Waiting for another holdfast command on this cluster"),
        )

    def _delete_data(self) -> None:
        """Delete the nodes' folders; the rename makes it all or nothing for the next start."""
        nodes = self.folder / "nodes"
        if nodes.exists():
            grave = self.folder / f".deleted-{time.time_ns()}"
            nodes.rename(grave)
            shutil.rmtree(grave, ignore_errors=True)
        # The ports stay, so that a bootstrap address in somebody's shell goes on working.
        save_spec(self.folder, replace(self.spec, keep=False))


def _ready_to_run(jars: JarCache, progress: Progress) -> Kafka:
    class_path = jars.class_path(progress)
    return Kafka(class_path, ensure_archive(class_path, progress))


def running_bootstrap_servers(folder: Path | None = None) -> str | None:
    """Return the servers of the embedded cluster in `folder` (the user's by default) if one runs."""
    cluster = EmbeddedCluster(folder)
    return cluster.bootstrap_servers if cluster.is_running else None
