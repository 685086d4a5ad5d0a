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
import signal
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from holdfast.errors import EmbeddedClusterError
from holdfast.kafka.probe import wait_until_ready
from holdfast.local.folders import cluster_folder, make_folder
from holdfast.local.jars import JarCache, kafka_version
from holdfast.local.locking import exclusive
from holdfast.local.node import Node
from holdfast.local.ports import answers, free_ports, is_free
from holdfast.local.progress import Progress, Silent
from holdfast.local.spec import ClusterSpec, load_spec, new_spec, save_spec
from holdfast.local.watchdog import Watchdog

DEFAULT_NODES = 3
START_TIMEOUT_S = 120.0
"""Seconds for brokers to become ready: 7 on an idle two-core machine, far more on a busy one."""

STOP_TIMEOUT_S = 30.0
"""Seconds for a broker to hand over its partitions and close its files, before it is killed."""

DISCARD_TIMEOUT_S = 5.0
"""The same when the data is deleted afterwards and there is nothing to close in good order."""

MIN_FREE_BYTES = 500 * 1024 * 1024


class NodeState(StrEnum):
    """What a broker is doing, as seen from outside."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One line of `holdfast status`.

    Attributes:
        id: node id.
        state: what it is doing.
        address: host and port for clients.
        pid: process id; None if stopped.
        memory: resident bytes; 0 if stopped.
        log: its log file.
    """

    id: int
    state: NodeState
    address: str
    pid: int | None
    memory: int
    log: Path


class _PortTaken(EmbeddedClusterError):
    """A broker ended because somebody took its port between our check and its start."""


class EmbeddedCluster:
    """A cluster of combined broker and controller nodes in one folder.

    Args:
        folder: where it lives; by default the user's data folder.
        nodes: how many; None means what the folder has, else three.
        keep: topic data outlives `stop`. Once set it stays set, until the data is deleted.
        overrides: broker settings that replace the built-in ones.
        progress: told about the steps of a start.
        jars: where the jars come from.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        nodes: int | None = None,
        keep: bool = False,
        overrides: Mapping[str, str] | None = None,
        progress: Progress | None = None,
        jars: JarCache | None = None,
    ) -> None:
        self.folder = (folder or cluster_folder()).absolute()
        self._wanted = nodes
        self._keep = keep
        self._overrides = dict(overrides or {})
        self._progress = progress or Silent()
        self._jars = jars or JarCache()
        self._watchdog: Watchdog | None = None
        self._temporary = False

    @classmethod
    def temporary(cls, nodes: int = DEFAULT_NODES, *, overrides: Mapping[str, str] | None = None) -> Self:
        """Return a cluster in a new temporary folder that ends with this process, even if it is killed."""
        cluster = cls(Path(tempfile.mkdtemp(prefix="holdfast-")), nodes=nodes, overrides=overrides)
        cluster._temporary = True
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
            if node.spec.id == node_id:
                return node
        raise EmbeddedClusterError(f"the cluster in {self.folder} has no node {node_id}.")

    def status(self) -> tuple[NodeStatus, ...]:
        """Look at every node; empty if the folder holds no cluster."""
        return tuple(map(_status, self.nodes)) if load_spec(self.folder) else ()

    @property
    def is_running(self) -> bool:
        """Whether at least one broker process exists."""
        return any(status.pid for status in self.status())

    # -- as a whole ------------------------------------------------------------------------------

    def start(self) -> tuple[int, ...]:
        """Start the nodes that do not run and wait until the cluster is ready.

        Returns:
            The ids of the nodes that were started: all, those that had crashed, or none.

        Raises:
            EmbeddedClusterError: it cannot be started; nodes started by this call are stopped again.
        """
        make_folder(self.folder, purpose="the cluster's data", variable="HOLDFAST_HOME")
        class_path = self._jars.class_path(self._progress)
        with self._exclusively():
            spec = self._claim()
            if self._temporary and self._watchdog is None:
                self._watchdog = Watchdog(self.folder)
            missing = tuple(node for node in self.nodes if node.process() is None)
            if missing:
                self._start_missing(class_path, spec, missing)
            return tuple(node.spec.id for node in missing)

    def stop(self, *, delete_data: bool = False) -> None:
        """Stop every node: SIGTERM, a time to finish, then SIGKILL. The logs stay.

        Args:
            delete_data: also delete kept topic data. Data that is not kept is deleted anyway.
        """
        if load_spec(self.folder) is not None:
            with self._exclusively():
                discard = delete_data or not self.spec.keep
                self._progress.step("Stopping the brokers")
                _stop(self.nodes, timeout=DISCARD_TIMEOUT_S if discard else STOP_TIMEOUT_S)
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
        wait_until_ready(
            {"bootstrap.servers": spec.bootstrap_servers}, brokers=brokers or len(spec.nodes), timeout=timeout
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- one node at a time ----------------------------------------------------------------------

    def kill(self, node_id: int) -> None:
        """SIGKILL a node and return when it is gone."""
        process = self.node(node_id).signal(signal.SIGKILL)
        if process is not None:
            psutil.wait_procs([process], timeout=STOP_TIMEOUT_S)

    def stop_node(self, node_id: int, *, timeout: float = STOP_TIMEOUT_S) -> None:
        """Stop a node in good order (SIGTERM) and return when it is gone; SIGKILL after `timeout` seconds."""
        _stop((self.node(node_id),), timeout=timeout)

    def start_node(self, node_id: int) -> None:
        """Start a node that does not run; `wait_ready` tells when it serves."""
        node = self.node(node_id)
        if node.process() is None:
            node.launch(self._jars.class_path())

    # -- steps of a start ------------------------------------------------------------------------

    def _exclusively(self):  # type: ignore[no-untyped-def]
        return exclusive(
            self.folder / ".lock",
            lambda: self._progress.step("Waiting for another holdfast command on this cluster"),
        )

    def _claim(self) -> ClusterSpec:
        """Load the folder's spec, or make one; refuse another node count while there is data."""
        for leftover in self.folder.glob(".deleted-*"):  # of a `stop` that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        spec = load_spec(self.folder)
        count = self._wanted or (len(spec.nodes) if spec else DEFAULT_NODES)
        if spec is None or (len(spec.nodes) != count and not self._has_data(spec)):
            spec = new_spec(count, keep=self._keep)
        elif len(spec.nodes) != count:
            raise EmbeddedClusterError(
                f"the cluster in {self.folder} has {len(spec.nodes)} nodes, not {count}; its size cannot change "
                "while it has data. Run `holdfast down --delete-data` first, or set HOLDFAST_HOME to another folder."
            )
        spec = replace(spec, keep=spec.keep or self._keep)
        save_spec(self.folder, spec)
        return spec

    def _has_data(self, spec: ClusterSpec) -> bool:
        nodes = (Node(self.folder, node) for node in spec.nodes)
        return any(node.is_formatted() or node.process() for node in nodes)

    def _start_missing(self, class_path: tuple[Path, ...], spec: ClusterSpec, missing: tuple[Node, ...]) -> None:
        self._check_disk()
        for attempt in (1, 2, 3):
            spec = self._settle_ports(spec, {node.spec.id for node in missing})
            missing = tuple(self.node(node.spec.id) for node in missing)
            try:
                self._launch(class_path, spec, missing)
                return
            except _PortTaken:
                _stop(missing, timeout=DISCARD_TIMEOUT_S)
                if attempt == 3:
                    raise
            except BaseException:
                # Half a cluster is of no use to anybody; nodes that ran before this call stay.
                _stop(missing, timeout=DISCARD_TIMEOUT_S)
                raise

    def _check_disk(self) -> None:
        free = shutil.disk_usage(self.folder).free
        if free < MIN_FREE_BYTES:
            raise EmbeddedClusterError(
                f"only {free / 1e6:.0f} MB are free at {self.folder}; the brokers need {MIN_FREE_BYTES / 1e6:.0f} MB. "
                "Free some space, or set HOLDFAST_HOME to a folder on another disk."
            )

    def _settle_ports(self, spec: ClusterSpec, missing: set[int]) -> ClusterSpec:
        """Exchange ports that another program took meanwhile, where that is possible."""
        taken = [
            (node, port)
            for node in spec.nodes
            if node.id in missing
            for port in (node.port, node.controller_port)
            if not is_free(port)
        ]
        others_run = len(missing) < len(spec.nodes)
        for node, port in taken:
            if others_run and port == node.controller_port:
                raise EmbeddedClusterError(
                    f"port {port} of node {node.id} is taken by another program, and the running nodes know node "
                    f"{node.id} by it. End that program, or run `holdfast down` and `holdfast up` to get new ports."
                )
        if taken:
            known = {port for node in spec.nodes for port in (node.port, node.controller_port)}
            fresh = free_ports(len(taken), taken=known)
            spec = spec.with_ports(dict(zip((port for _, port in taken), fresh, strict=True)))
            save_spec(self.folder, spec)
        return spec

    def _launch(self, class_path: tuple[Path, ...], spec: ClusterSpec, missing: tuple[Node, ...]) -> None:
        try:
            for node in missing:
                node.configure(spec, self._overrides)
            self._format(class_path, spec, tuple(node for node in missing if not node.is_formatted()))
            self._progress.step(f"Starting Apache Kafka {kafka_version()}: {_count(len(missing), 'broker')}")
            for node in missing:
                node.launch(class_path)
        except OSError as error:
            raise EmbeddedClusterError(f"cannot write to {self.folder}: {error.strerror or error}.") from error
        wait_until_ready(
            {"bootstrap.servers": spec.bootstrap_servers},
            brokers=len(spec.nodes),
            timeout=START_TIMEOUT_S,
            on_wait=lambda: _check_alive(missing),
        )

    def _format(self, class_path: tuple[Path, ...], spec: ClusterSpec, nodes: tuple[Node, ...]) -> None:
        if nodes:
            self._progress.step(f"Formatting the storage of {_count(len(nodes), 'node')}")
            formatters = [(node, node.begin_format(class_path, spec.cluster_id)) for node in nodes]
            for node, formatter in formatters:
                node.end_format(formatter)

    def _delete_data(self) -> None:
        """Delete the nodes' folders; the rename makes it all or nothing for the next start."""
        spec = self.spec
        nodes = self.folder / "nodes"
        if nodes.exists():
            grave = self.folder / f".deleted-{time.time_ns()}"
            nodes.rename(grave)
            shutil.rmtree(grave, ignore_errors=True)
        # The ports stay, so that a bootstrap address in somebody's shell goes on working.
        save_spec(self.folder, replace(spec, keep=False))


def running_bootstrap_servers(folder: Path | None = None) -> str | None:
    """Return the servers of the embedded cluster in `folder` (the user's by default) if one runs."""
    cluster = EmbeddedCluster(folder)
    return cluster.bootstrap_servers if cluster.is_running else None


def _status(node: Node) -> NodeStatus:
    process = node.process()
    memory = 0
    state = NodeState.STOPPED
    if process is not None:
        try:
            memory = process.memory_info().rss
            state = NodeState.RUNNING if answers(node.spec.port) else NodeState.STARTING
        except psutil.NoSuchProcess:
            process = None
    return NodeStatus(
        id=node.spec.id,
        state=state,
        address=node.spec.address,
        pid=process.pid if process else None,
        memory=memory,
        log=node.files.log,
    )


def _check_alive(nodes: tuple[Node, ...]) -> None:
    """Raise when a broker that we started has ended."""
    for node in nodes:
        if node.process() is None:
            words = node.last_words()
            kind = _PortTaken if "Address already in use" in words else EmbeddedClusterError
            raise kind(f"node {node.spec.id} ended while it started; {words}")


def _stop(nodes: tuple[Node, ...], *, timeout: float) -> None:
    """End brokers: SIGTERM to all, up to `timeout` seconds to finish, then SIGKILL."""
    signalled = [process for node in nodes if (process := node.signal(signal.SIGTERM))]
    _, alive = psutil.wait_procs(signalled, timeout=timeout)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=STOP_TIMEOUT_S)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
