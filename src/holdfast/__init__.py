"""Holdfast: event-driven services on Apache Kafka that keep their data right under failure."""

from __future__ import annotations

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
