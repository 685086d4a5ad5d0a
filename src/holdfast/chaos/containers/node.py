"""One Kafka node in a container: how it is set, and what can be done to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from holdfast.errors import ContainerError
from holdfast.local.ports import HOST
from holdfast.local.settings import replication_settings
from holdfast.local.spec import copies

if TYPE_CHECKING:
    from docker.models.containers import Container

CLIENT_PORT, BROKER_PORT, CONTROLLER_PORT = 9094, 9092, 9093
"""Ports in a container. Only the first is published, under another number."""

TAIL_LINES = 15
"""Lines of a log that a message about a failure shows."""

STATE_TIMEOUT_S = 15.0
"""Seconds for a container to be in the state that was asked for."""


class State(StrEnum):
    """What the engine says of a container; the values are its words."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class NodeSetup:
    """What a node is told at its start.

    Attributes:
        id: Kafka's ``node.id``, from 1.
        nodes: how many there are.
        port: where clients on this machine find it.
        cluster_id: Kafka's id of the cluster.
        overrides: broker settings that replace the image's.
    """

    id: int
    nodes: int
    port: int
    cluster_id: str
    overrides: Mapping[str, str]

    @property
    def alias(self) -> str:
        """Its name among the brokers. Clients have a network of their own, where it has none."""
        return alias(self.id)

    @property
    def address(self) -> str:
        """``host:port`` for clients."""
        return f"{HOST}:{self.port}"

    def environment(self) -> dict[str, str]:
        """Return its settings as the image takes them."""
        voters = ",".join(f"{n}@{alias(n)}:{CONTROLLER_PORT}" for n in range(1, self.nodes + 1))
        settings = {
            "node.id": str(self.id),
            "process.roles": "broker,controller",
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "BROKERS",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,BROKERS:PLAINTEXT,CLIENTS:PLAINTEXT",
            "listeners": f"BROKERS://:{BROKER_PORT},CLIENTS://:{CLIENT_PORT},CONTROLLER://:{CONTROLLER_PORT}",
            "advertised.listeners": f"BROKERS://{self.alias}:{BROKER_PORT},CLIENTS://{self.address}",
            "broker.rack": f"rack-{self.id}",
            "replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector",
            **replication_settings(*copies(self.nodes)),
            **self.overrides,
        }
        return {"CLUSTER_ID": self.cluster_id} | {variable(name): value for name, value in settings.items()}


def alias(node_id: int) -> str:
    """Return a node's name among the brokers."""
    return f"kafka-{node_id}"


def variable(setting: str) -> str:
    """Return the environment variable by which the image takes a broker setting."""
    return "KAFKA_" + setting.replace("_", "__").replace("-", "___").replace(".", "_").upper()


def state_of(container: Container) -> State:
    """Ask the engine."""
    container.reload()
    return State(container.status)


def await_state(container: Container, *wanted: State) -> None:
    """Return when a container is in one of the states.

    Raises:
        ContainerError: it is not within 15 s.
    """
    deadline = time.monotonic() + STATE_TIMEOUT_S
    while (found := state_of(container)) not in wanted:
        if time.monotonic() >= deadline:
            raise ContainerError(
                f"{container.name} is {found} and not {' or '.join(wanted)}, {STATE_TIMEOUT_S:.0f} s after "
                "that was asked for. The engine is busy, or its log says why."
            )
        time.sleep(0.05)


def last_words(container: Container) -> str:
    """Return the end of a container's log, for a message about its failure."""
    lines = container.logs(tail=TAIL_LINES).decode(errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines) or "  (nothing was written)"
