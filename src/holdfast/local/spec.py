"""What the data folder remembers of its cluster: identity, nodes, ports, and whether data is kept."""

from __future__ import annotations

import base64
import json
import os
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from holdfast.errors import EmbeddedClusterError
from holdfast.local.ports import HOST, free_ports

FILE_NAME = "cluster.json"


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One broker that is also a controller.

    Attributes:
        id: Kafka's ``node.id``, from 1.
        port: where clients and other brokers connect.
        controller_port: where the controllers talk to each other.
    """

    id: int
    port: int
    controller_port: int

    @property
    def address(self) -> str:
        """``host:port`` for clients."""
        return f"{HOST}:{self.port}"


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """Everything that must be the same from one start to the next.

    Attributes:
        cluster_id: Kafka's cluster id.
        nodes: the brokers.
        keep: whether topic data outlives a stop.
    """

    cluster_id: str
    nodes: tuple[NodeSpec, ...]
    keep: bool = False

    @property
    def bootstrap_servers(self) -> str:
        """The value for ``bootstrap.servers``."""
        return ",".join(node.address for node in self.nodes)

    @property
    def replication(self) -> int:
        """Copies of each partition: three where there are three brokers."""
        return copies(len(self.nodes))[0]

    @property
    def min_insync(self) -> int:
        """Copies that must have a record before it is acknowledged: one broker may be down."""
        return copies(len(self.nodes))[1]

    def with_ports(self, replacement: dict[int, int]) -> ClusterSpec:
        """Return the spec with ports exchanged as `replacement` (old to new) says."""
        return replace(
            self,
            nodes=tuple(
                NodeSpec(
                    node.id,
                    replacement.get(node.port, node.port),
                    replacement.get(node.controller_port, node.controller_port),
                )
                for node in self.nodes
            ),
        )


def copies(nodes: int) -> tuple[int, int]:
    """Return how many copies of a partition so many nodes keep, and how many must have a record.

    Three where there are three nodes; one of the copies may be down.
    """
    replication = min(3, nodes)
    return replication, max(1, replication - 1)


def new_spec(nodes: int, *, keep: bool) -> ClusterSpec:
    """Invent a cluster of `nodes` brokers on free ports.

    Raises:
        EmbeddedClusterError: there are not enough free ports.
    """
    ports = free_ports(2 * nodes)
    return ClusterSpec(
        cluster_id=new_cluster_id(),
        nodes=tuple(NodeSpec(i + 1, ports[i], ports[nodes + i]) for i in range(nodes)),
        keep=keep,
    )


def new_cluster_id() -> str:
    """Return a random id in Kafka's form; like Kafka's own it never starts with a dash, as options do."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def load_spec(folder: Path) -> ClusterSpec | None:
    """Read the spec in `folder`; None if there is none.

    Raises:
        EmbeddedClusterError: the file cannot be read.
    """
    file = folder / FILE_NAME
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        return ClusterSpec(raw["cluster_id"], tuple(NodeSpec(**node) for node in raw["nodes"]), raw["keep"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EmbeddedClusterError(
            f"cannot read {file}: {error}. If the cluster's data is of no more use, delete {folder}."
        ) from error


def save_spec(folder: Path, spec: ClusterSpec) -> None:
    """Write the spec into `folder` so that a reader sees the old or the new one, never a part."""
    partial = folder / f".{FILE_NAME}-{os.getpid()}"
    partial.write_text(json.dumps(asdict(spec), indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / FILE_NAME)
