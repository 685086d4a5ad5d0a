"""What a cluster says about an application's circuit breakers, and how they are told what to do."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

from holdfast.engine.breaker_log import BreakerLog, ControlRecord, Heard, Order, key_of, value_of
from holdfast.kafka.control_log import ControlLog
from holdfast.kafka.scan import LogScanner
from holdfast.record import Message
from holdfast.topology.model import Topology

_LOOK_S: Final = 0.2


def record_of(message: Message) -> ControlRecord:
    """A record of the topic of the breakers, as the log of them takes it."""
    return ControlRecord(message.offset(), message.timestamp()[1], message.key(), message.value())


def read_breakers(scanner: LogScanner, topology: Topology) -> BreakerLog:
    """Read the topic of the breakers; an empty log if it does not exist.

    Raises:
        ClusterError: the brokers cannot be read.
    """
    found = BreakerLog()
    for message in scanner.topic(topology.controls_topic):
        found.take(record_of(message))
    return found


def give_order(controls: ControlLog, order: Order, wait: float) -> dict[Heard, bool]:
    """Give an order, and return when all workers that answer follow it, or the time is over.

    Args:
        controls: the topic.
        order: the order.
        wait: seconds for the workers.

    Returns:
        The breakers of the sink whose workers answer, and whether each follows.

    Raises:
        ClusterError: the brokers do not take the order, or the topic cannot be read.
    """
    controls.write(key_of(order), value_of(order))
    controls.flush()
    found, deadline = BreakerLog(), time.monotonic() + wait
    while True:
        messages, _ = controls.read(_LOOK_S)
        for message in messages:
            found.take(record_of(message))
        followers = found.followers(order.sink, datetime.now(UTC))
        standing = found.orders.get(order.sink)
        # What was reported before it was given has been read when it has.
        is_read = standing is not None and standing.order == order
        if time.monotonic() > deadline or (is_read and all(followers.values())):
            return followers
