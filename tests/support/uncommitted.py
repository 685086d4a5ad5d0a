"""What lies in an output topic outside of committed transactions, and workers frozen with one open."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError
from confluent_kafka import TopicPartition as ClientPartition

from holdfast.kafka.groups import GroupAdmin
from holdfast.schema import EventDecoder
from tests.support.application import Application, Run
from tests.support.events import Folded

COMMIT_S = 2.0
"""Within which a commit that was on its way has ended."""

SESSION = "6s"
"""The session timeout of workers to catch in a transaction: frozen, they keep their shards meanwhile."""


class Place(NamedTuple):
    """Where an output stands."""

    partition: int
    offset: int


def outputs(app: Application, isolation: str) -> dict[Place, Folded]:
    """All outputs of the fold that a reader with this isolation is given."""
    topic, decode = app.names.topic("sums"), EventDecoder([Folded]).decode
    reader = Consumer(
        {
            "bootstrap.servers": app.servers,
            "group.id": "looks-only",
            "enable.auto.commit": False,
            "isolation.level": isolation,
            "enable.partition.eof": True,
        }
    )
    found: dict[Place, Folded] = {}
    try:
        numbers = reader.list_topics(topic, 10).topics[topic].partitions
        places = [ClientPartition(topic, number, 0) for number in numbers]
        # At the isolation of the reader. Under load a reader need not ever come to an end.
        ends = {p.partition: reader.get_watermark_offsets(p, timeout=10)[1] for p in places}
        unread = {number for number, end in ends.items() if end}
        reader.assign(places)
        while unread:
            message = reader.poll(1.0)
            if message is None:
                continue
            error, number = message.error(), message.partition()
            if error is None:
                event: Any = decode(message.value(), message.headers(), message.key())
                found[Place(number, message.offset())] = event
            # The last offsets before an end may be markers of transactions, which are never handed out.
            if error is None and message.offset() + 1 < ends[number]:
                continue
            if error is None or error.code() == KafkaError._PARTITION_EOF:
                unread.discard(number)
    finally:
        reader.close()
    return found


def uncommitted(app: Application, shards: set[int]) -> set[Place]:
    """Outputs of shards that are in no committed transaction, as far as that is known now."""
    # In this order: what is committed in between is not taken for uncommitted.
    everything = outputs(app, "read_uncommitted")
    committed = outputs(app, "read_committed")
    return {p for p, event in everything.items() if event.partition in shards and p not in committed}


def shards_of(app: Application, slot: str) -> set[int]:
    """The shards that the group gives to a worker."""
    with GroupAdmin(app.servers) as groups:
        members = groups.describe(app.group).members
    name = app.slot_id(slot)
    return {place.partition for member in members if member.client_id == name for place in member.partitions}


@contextmanager
def frozen(run: Run, index: int = 0) -> Iterator[int]:
    """A worker is frozen while the block lasts."""
    pid = run.signal(signal.SIGSTOP, index)
    try:
        yield pid
    finally:
        # It may have been woken up in the block, and be gone.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextmanager
def caught_in_a_transaction(run: Run, shards: set[int]) -> Iterator[set[Place]]:
    """The first worker is frozen with a transaction open; yields the outputs in it.

    A worker that committed between the look and the freeze is let go, and caught again: also one whose commit
    was on its way, which brokers that are busy may end only now. Its session must be `SESSION`: with a
    shorter one its shards would be another's by then.
    """
    app = run.application
    for _ in range(5):
        run.until(lambda: uncommitted(app, shards), 20, "an open transaction")
        with frozen(run):
            run.let_run(0.5)
            # Looked at before the session is over: what the next owner writes there must not be among them.
            caught = uncommitted(app, shards)
            run.let_run(COMMIT_S)
            if left := caught & uncommitted(app, shards):
                yield left
                return
    raise AssertionError("it had always just committed")
