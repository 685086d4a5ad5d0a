"""Holdfast: event-driven services on Apache Kafka that keep their data right under failure."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.engine.context import Context
    from holdfast.engine.handler import To, processor
    from holdfast.engine.leader_task import Leadership, leader_task
    from holdfast.engine.state import State
    from holdfast.kafka.producer import Producer
    from holdfast.schema import Event, Tombstone

__version__ = "0.1.0"
__all__ = [
    "Context",
    "Event",
    "Leadership",
    "Producer",
    "State",
    "To",
    "Tombstone",
    "__version__",
    "leader_task",
    "processor",
]

_HOMES = {
    "Context": "holdfast.engine.context",
    "Event": "holdfast.schema",
    "Leadership": "holdfast.engine.leader_task",
    "Producer": "holdfast.kafka.producer",
    "State": "holdfast.engine.state",
    "To": "holdfast.engine.handler",
    "Tombstone": "holdfast.schema",
    "leader_task": "holdfast.engine.leader_task",
    "processor": "holdfast.engine.handler",
}


def __getattr__(name: str) -> Any:
    # Looked up when they are first asked for (PEP 562): a command imports this package before it can say what
    # becomes of Ctrl-C, and whoever uses the breakers alone needs no Kafka client.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(home), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
