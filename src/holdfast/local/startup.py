"""The steps of a start: claim the folder, settle the ports, format, launch, wait.

The caller holds the folder's lock.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from holdfast.errors import BrokersUnreachable, EmbeddedClusterError
from holdfast.kafka.probe import wait_until_ready
from holdfast.local.housing import Housing
from holdfast.local.jvm import Kafka
from holdfast.local.node import Node, wait_until_gone
from holdfast.local.ports import free_ports, is_free
from holdfast.local.progress import Progress
from holdfast.local.settings import Overrides
from holdfast.local.spec import ClusterSpec, load_spec, new_spec, save_spec

DEFAULT_NODES = 3
START_TIMEOUT_S = 120.0
"""Seconds for brokers to become ready: a few on an idle two-core machine, far more on a busy one."""

STOP_TIMEOUT_S = 30.0
"""Seconds for a broker to hand over its partitions and close its files, before it is killed."""

DISCARD_TIMEOUT_S = 1.5
"""The same when the data is deleted afterwards: nothing needs closing in good order."""

LEFT_ALONE_TIMEOUT_S = 7.0
"""Seconds for the nodes that are left when most have ended. The last controller looks 5 s for a successor; a
broker that has not got leave from a controller by then would ask for it for minutes, of nobody."""

KILL_TIMEOUT_S = 10.0
"""Seconds for the system to end a killed process and take back its memory."""

LAUNCH_TRIES = 3
"""Starts with new ports, when another program takes one between our check and the broker's start."""

MIN_FREE_BYTES = 500 * 1024 * 1024
"""What three brokers need for their metadata, indexes and first segments."""


class _PortTakenError(EmbeddedClusterError):
    """A broker ended because somebody took its port between our check and its start."""


def claim(folder: Path, wanted: int | None, *, keep: bool) -> ClusterSpec:
    """Load the folder's spec or make one.

    Args:
        folder: the cluster's folder.
        wanted: node count; None means what the folder has, else three.
        keep: data outlives a stop from now on.

    Raises:
        EmbeddedClusterError: there is data of another node count, or the folder cannot be used.
    """
    for leftover in folder.glob(".deleted-*"):  # of a `down` that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    spec = load_spec(folder)
    count = wanted or (len(spec.nodes) if spec else DEFAULT_NODES)
    if spec is None or (len(spec.nodes) != count and not _has_data(folder, spec)):
        spec = new_spec(count, keep=keep)
    elif len(spec.nodes) != count:
        raise EmbeddedClusterError(
            f"the cluster in {folder} has {len(spec.nodes)} nodes, not {count}; its size cannot change "
            "while it has data. Run `holdfast down --delete-data` first, or set HOLDFAST_HOME to another "
            "folder."
        )
    spec = replace(spec, keep=spec.keep or keep)
    save_spec(folder, spec)
    return spec


def _has_data(folder: Path, spec: ClusterSpec) -> bool:
    nodes = (Node(folder, node) for node in spec.nodes)
    return any(node.is_formatted() or node.process() for node in nodes)


@dataclass(frozen=True, slots=True)
class Startup:
    """One start of the nodes that do not run.

    Attributes:
        folder: the cluster's folder.
        kafka: how its programs are run.
        overrides: broker settings that replace the built-in ones.
        progress: told about the steps.
        housing: where the brokers live.
    """

    folder: Path
    kafka: Kafka
    overrides: Overrides
    progress: Progress
    housing: Housing

    def run(self, spec: ClusterSpec, missing: frozenset[int]) -> None:
        """Start the nodes with the ids in `missing` and wait until the whole cluster is ready.

        Raises:
            EmbeddedClusterError: a node cannot start, or the cluster did not become ready in time; the nodes
                that were started here are stopped again.
        """
        self._check_disk()
        for attempt in range(1, LAUNCH_TRIES + 1):
            spec = self._settle_ports(spec, missing)
            nodes = tuple(Node(self.folder, node) for node in spec.nodes if node.id in missing)
            try:
                self._launch(spec, nodes)
                return
            except _PortTakenError:
                stop_nodes(nodes, timeout=DISCARD_TIMEOUT_S)
                if attempt == LAUNCH_TRIES:
                    raise
            except BaseException:
                # Half a cluster is of no use to anybody; nodes that ran before this call stay.
                stop_nodes(nodes, timeout=DISCARD_TIMEOUT_S)
                raise

    def _check_disk(self) -> None:
        free = shutil.disk_usage(self.folder).free
        if free < MIN_FREE_BYTES:
            raise EmbeddedClusterError(
                f"only {free / 1e6:.0f} MB are free at {self.folder}; "
                f"the brokers need {MIN_FREE_BYTES / 1e6:.0f} MB. "
                "Free some space, or set HOLDFAST_HOME to a folder on another disk."
            )

    def _settle_ports(self, spec: ClusterSpec, missing: frozenset[int]) -> ClusterSpec:
        """Exchange ports that another program took meanwhile, where that is possible."""
        taken = [
            (node, port)
            for node in spec.nodes
            if node.id in missing
            for port in (node.port, node.controller_port)
            if not is_free(port)
        ]
        for node, port in taken:
            if port == node.controller_port and len(missing) < len(spec.nodes):
                raise EmbeddedClusterError(
                    f"port {port} of node {node.id} is taken by another program, and the running nodes "
                    f"know node {node.id} by it. End that program, or run `holdfast down` and `holdfast up` "
                    "to get new ports."
                )
        if taken:
            known = {port for node in spec.nodes for port in (node.port, node.controller_port)}
            fresh = free_ports(len(taken), taken=known)
            spec = spec.with_ports(dict(zip((port for _, port in taken), fresh, strict=True)))
            save_spec(self.folder, spec)
        return spec

    def _launch(self, spec: ClusterSpec, nodes: tuple[Node, ...]) -> None:
        try:
            for node in nodes:
                node.configure(spec, self.overrides, self.housing)
            self._format(spec, tuple(node for node in nodes if not node.is_formatted()))
            self.progress.step(f"Starting Apache Kafka {self.kafka.version}: {counted(len(nodes), 'broker')}")
            self.housing.prepare(spec)
            for node in nodes:
                node.launch(self.kafka, self.housing)
        except OSError as error:
            raise EmbeddedClusterError(
                f"cannot write to {self.folder}: {error.strerror or error}. Make room or make it writable, "
                "or set HOLDFAST_HOME to another folder."
            ) from error
        self._wait(spec, nodes)

    def _wait(self, spec: ClusterSpec, nodes: tuple[Node, ...]) -> None:
        try:
            wait_until_ready(
                spec.bootstrap_servers,
                brokers=len(spec.nodes),
                timeout=START_TIMEOUT_S,
                on_wait=lambda: check_alive(nodes),
            )
        except BrokersUnreachable as error:
            words = "\n".join(node.last_words() for node in nodes)
            raise EmbeddedClusterError(
                f"the brokers run, but were not ready within {START_TIMEOUT_S:.0f} s.\n{words}"
            ) from error

    def _format(self, spec: ClusterSpec, nodes: tuple[Node, ...]) -> None:
        if nodes:
            self.progress.step(f"Formatting the storage of {counted(len(nodes), 'node')}")
            formats = [node.begin_format(self.kafka, spec) for node in nodes]
            for running in formats:
                running.finish()


def check_alive(nodes: tuple[Node, ...]) -> None:
    """Check that brokers which we started have not ended.

    Raises:
        EmbeddedClusterError: one has; the message holds the end of its log.
    """
    for node in nodes:
        if node.process() is None:
            words = node.last_words()
            kind = _PortTakenError if "Address already in use" in words else EmbeddedClusterError
            raise kind(f"node {node.id} ended while it started. {words}")


def stop_nodes(nodes: tuple[Node, ...], *, timeout: float) -> bool:
    """End brokers: SIGTERM to all, up to `timeout` seconds to finish, then SIGKILL.

    A broker that is killed loses nothing that it acknowledged; its next start checks the ends of its files.

    Returns:
        Whether one had to be killed.

    Raises:
        EmbeddedClusterError: one is still there after SIGKILL.
    """
    signalled = [process for node in nodes if (process := node.signal(signal.SIGTERM))]
    # One that is suspended (SIGSTOP) sees no SIGTERM until it goes on.
    for node in nodes:
        node.signal(signal.SIGCONT)
    deadline = time.monotonic() + timeout
    alive = wait_until_gone(signalled, timeout, but_for=len(nodes) // 2)
    alive = wait_until_gone(alive, min(LEFT_ALONE_TIMEOUT_S, deadline - time.monotonic()))
    kill_processes(alive)
    return bool(alive)


def kill_processes(processes: Iterable[psutil.Process]) -> None:
    """End broker processes with SIGKILL and return when they are gone.

    Raises:
        EmbeddedClusterError: one is still there after SIGKILL.
    """
    alive = list(processes)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    stuck = wait_until_gone(alive, KILL_TIMEOUT_S)
    if stuck:
        pids = ", ".join(str(process.pid) for process in stuck)
        raise EmbeddedClusterError(
            f"broker processes {pids} do not end even when killed; "
            "the system is busy with them (often a disk that does not answer)."
        )


def counted(number: int, noun: str) -> str:
    """Return ``3 brokers`` or ``1 broker``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
