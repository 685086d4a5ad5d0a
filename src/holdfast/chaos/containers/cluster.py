"""A cluster of Kafka nodes in containers, each of which can be killed, paused and cut off.

It looks like `EmbeddedCluster` and ends with its process, even if that is killed. Its nodes have two
networks: one where brokers and controllers talk to each other, and one through which clients on this
machine come. So a node can lose the others and still be reached, as in a partition between two data
centres, or lose everybody.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Self

from holdfast.chaos.containers.engine import connect, engine_errors
from holdfast.chaos.containers.images import ensure_kafka_image
from holdfast.chaos.containers.node import (
    CLIENT_PORT,
    NodeSetup,
    State,
    await_state,
    last_words,
    state_of,
)
from holdfast.chaos.containers.ownership import labels, remove, sweep
from holdfast.chaos.containers.reaper import Reaper
from holdfast.errors import ContainerError
from holdfast.kafka.probe import wait_until_ready
from holdfast.local.ports import HOST, free_ports
from holdfast.local.progress import Progress, Silent
from holdfast.local.spec import new_cluster_id
from holdfast.local.startup import DEFAULT_NODES, LAUNCH_TRIES, START_TIMEOUT_S, STOP_TIMEOUT_S, counted

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container
    from docker.models.networks import Network


_KILLED = 128 + signal.SIGKILL
"""The exit code that the engine tells of a container that it had to kill."""


class CutFrom(StrEnum):
    """Whom a node that is cut off does not reach, and who does not reach it."""

    BROKERS = "brokers"
    EVERYBODY = "everybody"


class _PortTakenError(ContainerError):
    """Somebody took a port between our check and the container's start."""


class ContainerCluster:
    """A temporary cluster of combined broker and controller nodes in containers.

    Args:
        nodes: how many.
        overrides: broker settings that replace those of the embedded cluster.
        progress: told about the steps of a start.
    """

    def __init__(
        self,
        nodes: int = DEFAULT_NODES,
        *,
        overrides: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._count = nodes
        self._overrides = dict(overrides or {})
        self._progress = progress or Silent()
        self._client: DockerClient | None = None
        self._reaper: Reaper | None = None
        self._id = ""
        self._setups: dict[int, NodeSetup] = {}
        self._containers: dict[int, Container] = {}
        self._networks: dict[CutFrom, Network] = {}

    # -- what it is ------------------------------------------------------------------------------

    @property
    def bootstrap_servers(self) -> str:
        """The value for ``bootstrap.servers``, for clients on this machine.

        Raises:
            ContainerError: it does not run.
        """
        if not self._containers:
            raise ContainerError("this cluster of containers does not run; call start().")
        return ",".join(setup.address for setup in self._setups.values())

    @property
    def node_ids(self) -> tuple[int, ...]:
        """Kafka's ids of its nodes."""
        return tuple(range(1, self._count + 1))

    def state(self, node_id: int) -> State:
        """What the engine says of a node."""
        return state_of(self._container(node_id))

    def container(self, node_id: int) -> str:
        """The id of a node's container, for what only the engine's own commands can do."""
        return str(self._container(node_id).id)

    def started_at(self, node_id: int) -> str:
        """When the present life of a node's container began, as the engine says it."""
        container = self._container(node_id)
        with engine_errors(f"looking at node {node_id}"):
            container.reload()
        return str(container.attrs["State"]["StartedAt"])

    def networks(self, node_id: int) -> list[str]:
        """Names of the networks that a node is on."""
        container = self._container(node_id)
        with engine_errors(f"looking at node {node_id}"):
            container.reload()
        return sorted(container.attrs["NetworkSettings"]["Networks"])

    def log(self, node_id: int) -> str:
        """What a node has written so far."""
        return str(self._container(node_id).logs(), errors="replace")

    # -- as a whole ------------------------------------------------------------------------------

    def start(self) -> None:
        """Make the nodes and wait until the cluster is ready; nothing if it runs.

        Raises:
            EngineMissing: there is no Docker engine, or the extra is not installed.
            ContainerError: the image or a node cannot be made, or the cluster did not become ready.
        """
        if self._containers:
            return
        image = ensure_kafka_image(self._progress)
        self._client = _local(connect())
        sweep(self._client)
        self._progress.step(f"Starting {counted(self._count, 'container')} of {image}")
        for attempt in range(1, LAUNCH_TRIES + 1):
            try:
                self._launch(self._client, image)
                self.wait_ready()
                return
            except _PortTakenError:
                self._remove()
                if attempt == LAUNCH_TRIES:
                    raise
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """Remove all of it, with its data."""
        self._remove()
        if self._client is not None:
            self._client.close()
            self._client = None

    def wait_ready(self, timeout: float = START_TIMEOUT_S, *, brokers: int | None = None) -> None:
        """Wait until the cluster serves: brokers registered, controller, both coordinators.

        Args:
            timeout: seconds.
            brokers: how many brokers must be there; by default all.

        Raises:
            BrokersUnreachable: it did not become ready in time.
            ContainerError: all brokers are asked for, and one has ended.
        """
        wanted = brokers or self._count
        wait_until_ready(
            self.bootstrap_servers,
            brokers=wanted,
            timeout=timeout,
            on_wait=self._check_alive if wanted == self._count else lambda: None,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- one node at a time, for experiments -------------------------------------------------------

    def kill(self, node_id: int) -> None:
        """SIGKILL a node and return when it is gone; nothing if it is not there."""
        container = self._container(node_id)
        if state_of(container) in (State.RUNNING, State.PAUSED):
            with engine_errors(f"killing node {node_id}"):
                container.kill()
            await_state(container, State.EXITED)

    def stop_node(self, node_id: int, *, timeout: float = STOP_TIMEOUT_S) -> bool:
        """Stop a node in good order (SIGTERM) and return when it is gone; SIGKILL after `timeout` seconds.

        Returns:
            Whether it had to be killed.
        """
        container = self._container(node_id)
        with engine_errors(f"stopping node {node_id}"):
            if state_of(container) is State.PAUSED:
                container.unpause()
            container.stop(timeout=max(1, round(timeout)))
        await_state(container, State.EXITED)
        return bool(container.attrs["State"]["ExitCode"] == _KILLED)

    def start_node(self, node_id: int) -> None:
        """Start a node that was stopped or killed; `wait_ready` tells when it serves."""
        container = self._container(node_id)
        with engine_errors(f"starting node {node_id}"):
            container.start()
        await_state(container, State.RUNNING)

    def pause(self, node_id: int) -> None:
        """Freeze all of a node's processes. Its connections stay, and nobody answers.

        Raises:
            ContainerError: it does not run.
        """
        container = self._container(node_id)
        if state_of(container) is not State.PAUSED:
            with engine_errors(f"pausing node {node_id}"):
                container.pause()
            await_state(container, State.PAUSED)

    def unpause(self, node_id: int) -> None:
        """Let a paused node go on; nothing if it is not paused."""
        container = self._container(node_id)
        if state_of(container) is State.PAUSED:
            with engine_errors(f"unpausing node {node_id}"):
                container.unpause()
            await_state(container, State.RUNNING)

    def disconnect(self, node_id: int, cut_from: CutFrom = CutFrom.EVERYBODY) -> None:
        """Take a node off the network of the brokers, or that of the clients as well.

        Connections are not closed: what is sent vanishes, until each side's own timeouts end it.
        """
        container = self._container(node_id)
        cut = (CutFrom.BROKERS,) if cut_from is CutFrom.BROKERS else (CutFrom.BROKERS, CutFrom.EVERYBODY)
        with engine_errors(f"disconnecting node {node_id}"):
            for network in (self._networks[side] for side in cut):
                if _is_in(container, network):
                    network.disconnect(container)

    def connect(self, node_id: int) -> None:
        """Put a node back on the networks that it was taken from."""
        container = self._container(node_id)
        with engine_errors(f"connecting node {node_id}"):
            # The clients' first: the network that a container has at the time gets its published port.
            if not _is_in(container, self._networks[CutFrom.EVERYBODY]):
                self._networks[CutFrom.EVERYBODY].connect(container)
            if not _is_in(container, self._networks[CutFrom.BROKERS]):
                self._networks[CutFrom.BROKERS].connect(container, aliases=[self._setups[node_id].alias])

    # --------------------------------------------------------------------------------------------

    def _container(self, node_id: int) -> Container:
        if node_id not in self._containers:
            raise ContainerError(
                f"this cluster of containers has no node {node_id}."
                if self._containers
                else "this cluster of containers does not run; call start()."
            )
        return self._containers[node_id]

    def _launch(self, client: DockerClient, image: str) -> None:
        cluster_id = new_cluster_id()
        self._id = cluster_id.lower()
        # Before anything is made: whatever is made from here on is removed when we are gone.
        self._reaper = Reaper(self._id)
        ports = free_ports(self._count)
        self._setups = {
            n: NodeSetup(n, self._count, ports[n - 1], cluster_id, self._overrides) for n in self.node_ids
        }
        with engine_errors("starting the containers"), _without_ryuk():
            # Its name decides, where a container has several networks, that it gets the published port.
            self._networks[CutFrom.EVERYBODY] = self._network(
                client, "1-clients", options={"com.docker.network.bridge.enable_icc": "false"}
            )
            self._networks[CutFrom.BROKERS] = self._network(client, "2-brokers", internal=True)
            for setup in self._setups.values():
                self._containers[setup.id] = self._run(setup, image)

    def _network(self, client: DockerClient, name: str, **options: object) -> Network:
        from testcontainers.core.network import Network as Creator

        creator = Creator(docker_network_kw={**options, "labels": labels(self._id)})
        creator.name = f"holdfast-{self._id}-{name}"
        creator.create()
        return client.networks.get(creator.name)

    def _run(self, setup: NodeSetup, image: str) -> Container:
        from docker.errors import APIError
        from testcontainers.core.container import DockerContainer

        creator = DockerContainer(image, name=f"holdfast-{self._id}-{setup.id}", env=setup.environment())
        creator.with_kwargs(labels=labels(self._id), network=self._networks[CutFrom.EVERYBODY].name)
        # This machine only: `with_bind_ports` would open them to everybody.
        creator.ports = {f"{CLIENT_PORT}/tcp": (HOST, setup.port)}  # type: ignore[dict-item] # passed on
        try:
            creator.start()
        except APIError as error:
            if "address already in use" in str(error) or "already allocated" in str(error):
                raise _PortTakenError(f"port {setup.port} was taken by another program.") from error
            raise
        container = creator.get_wrapped_container()
        self._networks[CutFrom.BROKERS].connect(container, aliases=[setup.alias])
        return container

    def _check_alive(self) -> None:
        for node_id, container in self._containers.items():
            if state_of(container) is State.EXITED:
                raise ContainerError(
                    f"node {node_id} ended while it was waited for. Its last lines:\n{last_words(container)}"
                )

    def _remove(self) -> None:
        self._containers.clear()
        self._networks.clear()
        if self._client is not None and self._reaper is not None:
            with engine_errors("removing the containers"):
                remove(self._client, self._id)
        if self._reaper is not None:
            self._reaper.release()
            self._reaper = None


def _local(client: DockerClient) -> DockerClient:
    """Return the client if its engine is on this machine.

    Raises:
        ContainerError: it is not: clients here would not find the published ports.
    """
    address = str(client.api.base_url)
    if not address.startswith(("http+docker://", "http://localhost", "http://127.0.0.1")):
        client.close()
        raise ContainerError(
            f"the Docker engine at {address} is on another machine, and its containers' ports are published "
            "there. Unset DOCKER_HOST, or use an engine of this machine (`compose/engine start`)."
        )
    return client


def _is_in(container: Container, network: Network) -> bool:
    container.reload()
    return network.name in container.attrs["NetworkSettings"]["Networks"]


@contextlib.contextmanager
def _without_ryuk() -> Iterator[None]:
    """Keep testcontainers from fetching its reaper from a registry; see `ownership`."""
    from testcontainers.core.config import testcontainers_config

    before = testcontainers_config.ryuk_disabled
    testcontainers_config.ryuk_disabled = True
    try:
        yield
    finally:
        testcontainers_config.ryuk_disabled = before
