"""What all loops share: records, units of them that are committed together, rebalances, states."""

from __future__ import annotations

import logging
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from holdfast.chaos.clients.loop import settings
from holdfast.chaos.clients.loop.changelog import Changelog
from holdfast.chaos.clients.loop.job import Job, Made
from holdfast.chaos.clients.loop.orders import LoopOrders
from holdfast.chaos.clients.loop.settings import CALL_S
from holdfast.chaos.clients.loop.state import States
from holdfast.runtime.status import Reporter, WorkerStatus

log = logging.getLogger(__name__)

_POLL_S = 0.05


class Loop(ABC):
    """Reads, handles, writes, and commits now and then: a unit is what is between two commits.

    Args:
        orders: what to do.
        reporter: told how it goes on.

    Attributes:
        assigned: what the group gave to this worker, as far as its states are here.
        positions: where each input goes on after the last commit.
        ahead: where each input goes on after the open unit.
        states: of all keys.
        is_open: whether a unit has begun.
    """

    isolation = "read_committed"
    commit_s = 0.1
    """From the first record of a unit to its commit."""

    def __init__(self, orders: LoopOrders, reporter: Reporter) -> None:
        self.orders = orders
        self.job = Job(orders)
        self.states = States()
        self.changelog = self.new_changelog()
        self.chance = random.Random(f"{orders.seed} {orders.worker}")
        self.assigned: list[TopicPartition] = []
        self.positions: dict[tuple[str, int], int] = {}
        self.ahead: dict[tuple[str, int], int] = {}
        self.is_open = False
        self._reporter = reporter
        self._due = 0.0
        self._stopped = False
        self._records = self._commits = self._aborts = 0
        self.producer = self.new_producer()
        self.consumer = Consumer(self.consumer_settings())

    # -- what loops differ in

    @abstractmethod
    def new_producer(self) -> Producer:
        """A producer that is ready."""

    @abstractmethod
    def commit(self) -> None:
        """Make the open unit lasting: outputs, states and positions.

        Raises:
            KafkaException: it is not, or nobody knows.
        """

    @abstractmethod
    def failed(self, error: KafkaException) -> None:
        """Something of the open unit could not be done; go on from what is certain, or raise it."""

    def begin(self) -> None:  # noqa: B027 - not every loop has something to begin
        """A unit begins."""

    def void(self) -> None:  # noqa: B027 - nor something to take back
        """The open unit must not happen: its shards belong to others."""

    # -- what is done with the process

    def run(self) -> None:
        """Work until `stop`.

        Raises:
            KafkaException: the loop cannot go on; only a new process can.
        """
        topics = [stream.topic for stream in self.orders.inputs]
        self.consumer.subscribe(
            topics, on_assign=self.on_assign, on_revoke=self.on_revoke, on_lost=self.on_lost
        )
        while not self._stopped:
            self.turn()
            self._reporter.report(self)
        # Leaves the group, by way of `on_revoke`.
        self.consumer.close()

    def stop(self) -> None:
        """End after the present record."""
        self._stopped = True

    def observe(self) -> WorkerStatus:
        """How it is."""
        shards = len({place.partition for place in self.assigned})
        return WorkerStatus(
            self._records, self._commits, self._aborts, shards={"running": shards} if shards else {}
        )

    # -- units

    def turn(self) -> None:
        """Take one record, if there is one; commit, if it is time."""
        message = self.consumer.poll(_POLL_S)
        if message is not None:
            self._received(message)
        if self.is_open and time.monotonic() >= self._due:
            self.end()

    def _received(self, message: Message) -> None:
        error = message.error()
        if error is None:
            self.take(message)
        elif error.fatal():
            raise KafkaException(error)
        else:
            log.warning("reading: %s", error.str())

    def take(self, message: Message) -> None:
        """Handle a record as a part of the open unit, or as the first of a new one."""
        try:
            if not self.is_open:
                self.begin()
                self.is_open, self._due = True, time.monotonic() + self.commit_s
            self.handle(message)
        except KafkaException as error:
            self.failed(error)

    def handle(self, message: Message) -> None:
        """Apply one record to the state of its key, and write what comes of it."""
        shard, key = message.partition() or 0, self.state_key(message)
        made, after = self.job.apply(message, self.states.get(shard, key))
        for record in made:
            self.write(record, message.timestamp()[1])
        self.change(shard, key, after)
        self.ahead[message.topic() or "", shard] = (message.offset() or 0) + 1
        self._records += 1

    def change(self, shard: int, key: bytes, state: Any) -> None:
        """A key has a new state, here and in the changelog."""
        self.states.set(shard, key, state)
        self.write_state(shard, key, state)

    def state_key(self, message: Message) -> bytes:
        """Whose state a record changes."""
        return bytes(message.key() or b"")

    def end(self) -> None:
        """Commit the open unit, and go on from wherever that leads."""
        try:
            self.commit()
        except KafkaException as error:
            self.failed(error)
        else:
            self.committed()

    def committed(self) -> None:
        """The open unit has happened."""
        self._commits += 1
        self.positions.update(self.ahead)
        self.states.keep()
        self.close_unit()

    def close_unit(self) -> None:
        """Nothing is open any more."""
        self.ahead.clear()
        self.is_open = False

    def rewind(self) -> None:
        """The open unit has not happened: forget what it changed, and read its records again."""
        self._aborts += 1
        self.states.discard()
        self.close_unit()
        if self.assigned:
            self.consumer.assign(
                [TopicPartition(one.topic, one.partition, self._position(one)) for one in self.assigned]
            )

    def _position(self, place: TopicPartition) -> int:
        return self.positions[place.topic, place.partition]

    # -- records

    def write(self, record: Made, timestamp: int) -> None:
        """Write an output."""
        self.produce(record.topic, record.value, record.key, headers=record.headers, timestamp=timestamp)

    def write_state(self, shard: int, key: bytes, state: Any) -> None:
        """Write a state to the changelog."""
        self.produce(self.orders.changelog, self.job.codec.encode(state), key, partition=shard)

    def produce(self, topic: str, value: bytes | None, key: bytes | None, **more: Any) -> None:
        """Hand a record to the client, as soon as it has room."""
        while True:
            try:
                self.producer.produce(topic, value, key, **more)
            except BufferError:
                self.producer.poll(_POLL_S)
            else:
                self.producer.poll(0)
                return

    def offsets(self) -> list[TopicPartition]:
        """The positions after the open unit."""
        return [TopicPartition(topic, number, offset) for (topic, number), offset in self.ahead.items()]

    # -- rebalances; all of them happen inside `poll` and `close`

    def on_assign(self, _: Consumer, places: list[TopicPartition]) -> None:
        """These are ours from now on."""
        if places:
            self.own(places)

    def on_revoke(self, _: Consumer, _places: list[TopicPartition]) -> None:
        """The group takes all away once this returns: what is done is committed before."""
        self.assigned = []
        if self.is_open:
            self.end()
        self.forget()

    def on_lost(self, _: Consumer, _places: list[TopicPartition]) -> None:
        """All belongs to others already: nothing of it may be committed."""
        self.assigned = []
        if self.is_open:
            self.void()
            self.rewind()
        self.forget()

    def own(self, places: list[TopicPartition]) -> None:
        """Begin to read: positions first, then the states, which are at least as new."""
        found = self.consumer.committed(places, CALL_S)
        self.positions = {(one.topic, one.partition): self.start(one) for one in found}
        self.restore({one.partition for one in places})
        self.assigned = places
        self.consumer.assign([TopicPartition(*place, offset) for place, offset in self.positions.items()])

    def start(self, committed: TopicPartition) -> int:
        """Where to begin to read a partition: what the group committed, or the beginning."""
        return max(committed.offset, 0)

    def restore(self, shards: Collection[int]) -> None:
        """Get the states of shards."""
        for shard, states in self.changelog.restore(shards).items():
            self.states.put(shard, states)

    def forget(self) -> None:
        """Let go of what belonged to the shards."""
        self.states.forget()
        self.positions.clear()

    # -- clients

    def consumer_settings(self) -> dict[str, Any]:
        """Properties of the group's member."""
        return settings.consumer(self.orders, self.isolation)

    def new_changelog(self) -> Changelog:
        """What states come back from."""
        return Changelog(self.orders.servers, self.orders.changelog, self.job.codec.decode)
