"""Client properties of the loops, written out: nothing of them comes from Holdfast's engine."""

from __future__ import annotations

from typing import Any

from holdfast.chaos.clients.loop.orders import LoopOrders

SESSION_MS = 4_000
"""After what silence the group gives a worker's shards to others."""

TRANSACTION_MS = 10_000
"""How long a transaction may be open."""

CALL_S = 15.0
"""Seconds for one call to the brokers."""

PARTITIONER = "murmur2_random"
"""As the Java client has it. The load partitions like that, so whoever writes to the same topics must."""


def common(servers: str, client: str) -> dict[str, Any]:
    """What every client has."""
    return {
        "bootstrap.servers": servers,
        "client.id": client,
        "reconnect.backoff.max.ms": 1_000,
        "topic.metadata.refresh.interval.ms": 5_000,
        "log_level": 4,
        # A loop that is ending does not bring back what was deleted behind it.
        "allow.auto.create.topics": False,
    }


def consumer(orders: LoopOrders, isolation: str) -> dict[str, Any]:
    """The member of the group. `range` gives equal partitions of several inputs to one member."""
    return {
        **common(orders.servers, orders.worker),
        "group.id": orders.group,
        "partition.assignment.strategy": "range",
        "session.timeout.ms": SESSION_MS,
        "heartbeat.interval.ms": SESSION_MS // 8,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": isolation,
        "fetch.wait.max.ms": 50,
    }


def producer(orders: LoopOrders) -> dict[str, Any]:
    """Who writes: acknowledged by all in-sync replicas, and nothing twice or out of order by itself."""
    return {
        **common(orders.servers, orders.worker),
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": PARTITIONER,
        "linger.ms": 5,
    }


def transactional(orders: LoopOrders) -> dict[str, Any]:
    """The same, in transactions."""
    return {
        **producer(orders),
        "transactional.id": orders.transactional_id,
        "transaction.timeout.ms": TRANSACTION_MS,
    }


def reader(servers: str, isolation: str) -> dict[str, Any]:
    """Who reads whole partitions, and is told of their ends; it joins no group and commits nothing."""
    return {
        **common(servers, "holdfast-chaos-restore"),
        "group.id": "holdfast-chaos-restore",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": isolation,
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 50,
    }
