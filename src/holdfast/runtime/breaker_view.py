"""What a cluster says about an application's circuit breakers, and how they are told what to do."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final, NamedTuple

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


class Given(NamedTuple):
    """What became of an order.

    Attributes:
        followers: the breakers of the sink whose workers answer, and whether each follows.
        was_forced: whether an order held before, as far as it could be read in time.
    """

    followers: dict[Heard, bool]
    was_forced: bool


def give_order(controls: ControlLog, order: Order, wait: float) -> Given:
    """Give an order, and return when all workers that answer follow it, or the time is over.

    Args:
        controls: the topic.
        order: the order.
        wait: seconds for the workers.

    Raises:
        ClusterError: the brokers do not take the order, or the topic cannot be read.
    """
    found, is_all, deadline = BreakerLog(), False, time.monotonic() + wait
    while not is_all and time.monotonic() < deadline:
        messages, is_all = controls.read(_LOOK_S)
        for message in messages:
            found.take(record_of(message))
    before = found.orders.get(order.sink)
    was_forced = not is_all or (before is not None and before.holds(datetime.now(UTC)))
    controls.write(key_of(order), value_of(order))
    controls.flush()
    deadline = time.monotonic() + wait
    while True:
        messages, _ = controls.read(_LOOK_S)
        for message in messages:
            found.take(record_of(message))
        followers = found.followers(order.sink, datetime.now(UTC))
        standing = found.orders.get(order.sink)
        # What was reported before it was given has been read when it has.
        is_read = standing is not None and standing is not before and standing.order == order
        if time.monotonic() > deadline or (is_read and all(followers.values())):
            return Given(followers, was_forced)
