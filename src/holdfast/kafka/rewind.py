"""Setting a group back and emptying its tables, in one transaction: all of it happens, or nothing.

How workers are kept out, see `holdfast.kafka.moves`. Only when nobody can change the tables any more their
keys are read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Producer

from holdfast.errors import BrokersUnreachable
from holdfast.kafka.errors import mapped
from holdfast.kafka.moves import LEAST_TRANSACTION_S, Move, Mover
from holdfast.kafka.scan import LogScanner
from holdfast.kafka.settings import Properties
from holdfast.record import TopicPartition

MOST_TRANSACTION_S: Final = 900.0
"""What brokers allow by default (`transaction.max.timeout.ms`)."""

_ROWS_PER_S: Final = 2_000
"""Changelog offsets per second that the transaction's time must allow for, at the least."""

_QUEUE_WAIT_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Rewind:
    """What is to be done.

    Attributes:
        move: the group's new positions.
        emptied: partitions of changelogs in which every key is to be deleted.
        rows: changelog offsets in them, about.
    """

    move: Move
    emptied: tuple[TopicPartition, ...] = ()
    rows: int = 0

    @property
    def seconds(self) -> float:
        """How long the transaction may take."""
        return min(max(LEAST_TRANSACTION_S, self.rows / _ROWS_PER_S), MOST_TRANSACTION_S)


def _nothing() -> None:
    """Nothing else is to be done."""


def rewind(
    todo: Rewind,
    servers: str,
    properties: Properties,
    scanner: LogScanner,
    *,
    before_commit: Callable[[], None] = _nothing,
) -> int:
    """Do it; all of it, or nothing.

    Args:
        todo: what.
        servers: the brokers.
        properties: the user's client properties.
        scanner: reads the changelogs.
        before_commit: called when everything is in the transaction; whatever it raises gives it up.

    Returns:
        How many keys were deleted.

    Raises:
        ReplayRefused: somebody works in the group, or did meanwhile. Nothing was changed.
        ClusterError: the brokers failed. Nothing was changed, unless the text says otherwise.
    """

    def empty(client: Producer) -> int:
        deleted = sum(_delete_all(client, place, scanner, todo.seconds) for place in todo.emptied)
        before_commit()
        return deleted

    group_id = todo.move.group_id
    mover = Mover(replay_id(group_id), servers, properties, todo.seconds)
    return mover.move([todo.move], f"setting the group {group_id} back", empty)


def replay_id(group_id: str) -> str:
    """The `transactional.id` of whoever sets a group back."""
    return f"{group_id}.replay"


def _delete_all(client: Producer, place: TopicPartition, scanner: LogScanner, seconds: float) -> int:
    """Write a tombstone for every key that a partition holds; returns how many."""
    keys: set[bytes] = set()
    for record in scanner.topic(place.topic, place.__eq__):
        key = record.key() or b""
        if record.value() is None:
            keys.discard(key)
        else:
            keys.add(key)
    deadline = time.monotonic() + seconds
    with mapped(f"emptying {place}"):
        for key in keys:
            while True:
                try:
                    client.produce(place.topic, None, key, place.partition)
                except BufferError:
                    if time.monotonic() > deadline:
                        raise BrokersUnreachable(
                            f"emptying {place}: not within {seconds:.0f} s. Nothing was changed."
                        ) from None
                    client.poll(_QUEUE_WAIT_S)
                else:
                    break
    return len(keys)
