"""Setting a group back and emptying its tables, in one transaction: all of it happens, or nothing.

The order of the steps keeps workers out without a lock. First the new positions go into the open
transaction: from then on a worker that starts waits, since it reads positions only when no transaction can
still change them. Then nobody may be in the group, and its positions must be those that were looked at:
whoever came before that is seen, or has left a trace. Only then the keys of the tables are read, which nobody
can change any more. A crash at any moment leaves an open transaction, which the brokers abort.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient

from holdfast.errors import BrokersUnreachable, ClusterError, ReplayRefused
from holdfast.kafka.errors import kafka_error, mapped, translate
from holdfast.kafka.members import GroupQuestion
from holdfast.kafka.offsets import CALL_S
from holdfast.kafka.positions import Note, noted
from holdfast.kafka.scan import LogScanner
from holdfast.kafka.settings import Properties, admin_config, consumer_config, producer_config
from holdfast.record import TopicPartition

log = logging.getLogger(__name__)

LEAST_TRANSACTION_S: Final = 60.0
MOST_TRANSACTION_S: Final = 900.0
"""What brokers allow by default (`transaction.max.timeout.ms`)."""

_ROWS_PER_S: Final = 2_000
"""Changelog offsets per second that the transaction's time must allow for, at the least."""

_COMMIT_S: Final = 60.0
_QUEUE_WAIT_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Rewind:
    """What is to be done.

    Attributes:
        group_id: the group.
        before: its positions as they were looked at; None where it has none.
        after: where it is to stand; a subset of these places.
        notes: what is noted beside each of the new positions.
        emptied: partitions of changelogs in which every key is to be deleted.
        rows: changelog offsets in them, about.
    """

    group_id: str
    before: Mapping[TopicPartition, int | None]
    after: Mapping[TopicPartition, int]
    notes: Mapping[TopicPartition, Note]
    emptied: tuple[TopicPartition, ...] = ()
    rows: int = 0

    @property
    def seconds(self) -> float:
        """How long the transaction may take."""
        return min(max(LEAST_TRANSACTION_S, self.rows / _ROWS_PER_S), MOST_TRANSACTION_S)


def rewind(todo: Rewind, servers: str, properties: Properties, scanner: LogScanner) -> int:
    """Do it; all of it, or nothing.

    Args:
        todo: what.
        servers: the brokers.
        properties: the user's client properties.
        scanner: reads the changelogs.

    Returns:
        How many keys were deleted.

    Raises:
        ReplayRefused: somebody works in the group, or did meanwhile. Nothing was changed.
        ClusterError: the brokers failed. Nothing was changed, unless the text says otherwise.
    """
    doing = f"setting the group {todo.group_id} back"
    positions = noted(todo.after, todo.notes.__getitem__)
    client = _connect(todo.group_id, todo.seconds, servers, properties)
    with mapped(doing):
        client.begin_transaction()
    try:
        with mapped(doing):
            client.send_offsets_to_transaction(
                positions,
                _outsider(todo.group_id, servers, properties),
                CALL_S,
            )
        _require_alone(todo, servers, properties)
        deleted = sum(_delete_all(client, place, scanner, todo.seconds) for place in todo.emptied)
    except BaseException:
        # The brokers abort it anyway; this is sooner.
        with contextlib.suppress(KafkaException):
            client.purge()
            client.abort_transaction(CALL_S)
        raise
    _commit(client, doing)
    return deleted


def end_unfinished(group_id: str, servers: str, properties: Properties) -> None:
    """Abort what an earlier replay of the group left open when it was killed.

    The group's positions cannot be read before. A replay that still runs on another
    machine is fenced by it, and changes nothing.

    Raises:
        ClusterError: the brokers fail.
    """
    _connect(group_id, LEAST_TRANSACTION_S, servers, properties)


def _connect(group_id: str, seconds: float, servers: str, properties: Properties) -> Producer:
    """Take over the group's transactional id for replays."""
    settings: dict[str, Any] = producer_config(servers, properties, transactional_id=f"{group_id}.replay")
    milliseconds = int(seconds * 1000)
    settings |= {"transaction.timeout.ms": milliseconds, "delivery.timeout.ms": milliseconds}
    deadline = time.monotonic() + _COMMIT_S
    with mapped(f"beginning a replay of {group_id}"):
        client = Producer(settings)
        while True:
            try:
                client.init_transactions(CALL_S)
            except KafkaException as error:
                # A coordinator may be loading, or still ending what was open.
                if not kafka_error(error).retriable() or time.monotonic() > deadline:
                    raise
            else:
                return client


def _outsider(group_id: str, servers: str, properties: Properties) -> Any:
    """The standing of one who is not in the group."""
    with mapped("starting a reader"):
        client = Consumer(consumer_config(servers, group_id, properties))
        try:
            return client.consumer_group_metadata()
        finally:
            client.close()


def _require_alone(todo: Rewind, servers: str, properties: Properties) -> None:
    """Refuse if a worker is in the group, or was since its positions were looked at.

    Raises:
        ReplayRefused: it is so.
        ClusterError: the brokers do not tell.
    """
    admin = AdminClient(admin_config(servers, properties))
    require_no_members(GroupQuestion(admin, todo.group_id, CALL_S))
    found = _committed(todo, servers, properties)
    moved = [place for place, offset in todo.before.items() if found.get(place) != offset]
    if moved:
        raise ReplayRefused(
            f"a worker of the group {todo.group_id} worked meanwhile ({', '.join(map(str, moved))}). Nothing "
            "was changed. Keep its workers stopped, and try again."
        )


def require_no_members(question: GroupQuestion) -> None:
    """Refuse if anybody is in a group.

    Raises:
        ReplayRefused: somebody is.
        ClusterError: the brokers do not tell.
    """
    group = question.wait()
    if group.members:
        names = ", ".join(sorted(member.client_id for member in group.members))
        raise ReplayRefused(
            f"workers are in the group {group.group_id}: {names}. Stop them (`holdfast run`), on every "
            "machine; one that was killed counts until its session has ended. Nothing was changed."
        )


def _committed(todo: Rewind, servers: str, properties: Properties) -> dict[TopicPartition, int | None]:
    """The group's positions as they were before this transaction, which waits to change them."""
    doing = f"reading the positions of {todo.group_id}"
    # A reader of committed records would wait for our own transaction. The admin client's question for
    # positions is no way either: see `holdfast.kafka.probe`.
    settings = {**consumer_config(servers, todo.group_id, properties), "isolation.level": "read_uncommitted"}
    with mapped(doing):
        client = Consumer(settings)
        try:
            found = client.committed([ClientPartition(*place) for place in todo.before], timeout=CALL_S)
        finally:
            client.close()
    for each in found:
        if each.error is not None:
            raise translate(each.error, doing)
    return {
        TopicPartition(each.topic, each.partition): each.offset if each.offset >= 0 else None
        for each in found
    }


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


def _commit(client: Producer, doing: str) -> None:
    """Commit; asked again while the outcome is not known.

    Raises:
        ClusterError: it was aborted, or nobody knows.
    """
    deadline = time.monotonic() + _COMMIT_S
    while True:
        try:
            client.commit_transaction(CALL_S)
        except KafkaException as error:
            failure = kafka_error(error)
            if failure.retriable() and time.monotonic() < deadline:
                log.info("%s: %s", doing, failure.str())
                continue
            if failure.txn_requires_abort():
                with contextlib.suppress(KafkaException):
                    client.abort_transaction(CALL_S)
                raise translate(error, f"{doing} was refused, and nothing was changed") from error
            raise ClusterError(
                f"{doing}: it is not known whether it was committed ({failure.str()}). It was done as a "
                "whole or not at all; `holdfast groups` shows where the group stands."
            ) from error
        else:
            return
