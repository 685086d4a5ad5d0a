"""What a node is doing, as seen from outside."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from holdfast.local.node import Node
from holdfast.local.ports import answers


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


def status_of(node: Node) -> NodeStatus:
    """Look at one node."""
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
