"""What a worker process is told when it starts, and what its exit code says when it ends.

A leaf module, like `holdfast.runtime.status`: a supervisor loads nothing that its workers work with.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final

EXIT_ERROR: Final = 1
"""Something that may be gone after a restart, such as brokers that do not answer."""

EXIT_FINAL: Final = 3
"""Something that a restart does not mend: a handler that stopped every shard, a taken slot, a wrong file."""

EXIT_FENCED: Final = 4
"""Somebody took the slot, or so the brokers said: after a coordinator has died they say it of a lone
worker too, whose own earlier request to join arrived late."""


@dataclass(frozen=True, slots=True)
class WorkerOrders:
    """What a worker process is told.

    Attributes:
        topology: the topology file.
        processor: which processor.
        slot: which slot.
        folder: the slot's state folder.
        bootstrap_servers: the brokers.
        status: descriptor of the status pipe; None for none.
    """

    topology: str
    processor: str
    slot: str
    folder: str
    bootstrap_servers: str
    status: int | None = None

    def to_json(self) -> str:
        """The orders as a command-line argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> WorkerOrders:
        """Read the orders from the command line."""
        return cls(**json.loads(text))
