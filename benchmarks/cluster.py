"""The cluster under test: topics, offsets and leftovers of one benchmark run."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.orders import Order

MOST_REPLICAS = 3
REQUEST_TIMEOUT = 30.0
GROUP_DEADLINE = 60.0


def take(consumer: Consumer, wait: float, most: int) -> list[Any]:
    """Wait up to `wait` seconds for one message, then take what else is there, up to about `most` in all.

    `consume(n)` alone would wait for n messages or its timeout; one call for each takes twice the CPU, which
    brokers and engine under test on the same cores then lack.
    """
    first = consumer.poll(wait)
    return [] if first is None else [first, *consumer.consume(most, 0)]


@dataclass(slots=True)
class Cluster:
    """One Kafka cluster, and the names that this run creates on it.

    Attributes:
        bootstrap_servers: as the Kafka clients take it.
        run_id: prefix of every topic, group and application of this run.
        partitions: of every topic.
        groups: consumer groups to delete at the end.
    """

    bootstrap_servers: str
    partitions: int
    run_id: str = field(default_factory=lambda: f"bench-{uuid.uuid4().hex[:8]}")
    groups: set[str] = field(default_factory=set)
    _admin: AdminClient | None = None

    @property
    def admin(self) -> AdminClient:
        """One shared admin client."""
        if self._admin is None:
            self._admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 3})
        return self._admin

    def close(self) -> None:
        """Let go of the admin client, which would else complain when an embedded cluster stops."""
        self._admin = None

    def brokers(self) -> int:
        """How many brokers answer; raises KafkaException if none does."""
        return len(self.admin.list_topics(timeout=10).brokers)

    @property
    def replicas(self) -> int:
        """Replication factor of every topic: 3, or as many brokers as there are."""
        return min(MOST_REPLICAS, self.brokers())

    def create_topic(self, name: str) -> str:
        """Create a topic of this run and return its name."""
        topic = f"{self.run_id}-{name}"
        new = NewTopic(topic, num_partitions=self.partitions, replication_factor=self.replicas)
        self.admin.create_topics([new])[topic].result(REQUEST_TIMEOUT)
        return topic

    def delete_topics(self, containing: str) -> None:
        """Delete every topic whose name contains `containing` (engines prefix their own names)."""
        names = [name for name in self.admin.list_topics(timeout=10).topics if containing in name]
        if names:
            for future in self.admin.delete_topics(names).values():
                with suppress(KafkaException):
                    future.result(REQUEST_TIMEOUT)

    def delete_groups(self) -> None:
        """Delete the consumer groups of this run.

        A member that did not leave (Kafka Streams and static members do not) keeps its group
        until the session ends; such groups are tried again until `GROUP_DEADLINE`.
        """
        left, deadline = set(self.groups), time.monotonic() + GROUP_DEADLINE
        while left:
            for group, future in self.admin.delete_consumer_groups(sorted(left)).items():
                try:
                    future.result(REQUEST_TIMEOUT)
                except KafkaException as error:
                    if error.args[0].code() == KafkaError.NON_EMPTY_GROUP and time.monotonic() < deadline:
                        continue
                left.discard(group)
            if left:
                time.sleep(1)

    def committed(self, group: str, topic: str) -> int:
        """Sum of the group's committed offsets over the partitions of `topic`; 0 before the first commit."""
        wanted = [TopicPartition(topic, number) for number in range(self.partitions)]
        request = [ConsumerGroupTopicPartitions(group, wanted)]
        try:
            answer = self.admin.list_consumer_group_offsets(request)[group].result(REQUEST_TIMEOUT)
        except KafkaException as error:
            if error.args[0].code() in _NOT_YET:
                return 0
            raise
        return sum(max(position.offset, 0) for position in answer.topic_partitions)

    def replication(self, topic: str) -> tuple[int, int]:
        """(partitions, replication factor) of a topic; (0, 0) if there is none."""
        found = self.admin.list_topics(timeout=10).topics.get(topic)
        if found is None or not found.partitions:
            return 0, 0
        return len(found.partitions), min(len(part.replicas) for part in found.partitions.values())

    def read_all(
        self, topic: str, each: Callable[[bytes, bytes | None], Any], *, deadline: float = 120.0
    ) -> int:
        """Call `each(key, value)` for every committed record of `topic`; return how many there were."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "group.id": f"{self.run_id}-reader",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        partitions, _ = self.replication(topic)
        consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        try:
            return _drain(consumer, partitions, each, time.monotonic() + deadline)
        finally:
            consumer.close()

    def preload(self, topic: str, orders: Iterator[Order]) -> None:
        """Write `orders` to `topic` with an idempotent producer, partitioned as Java clients do."""
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 50,
                "log_level": 3,
                "queue.buffering.max.messages": 200_000,
            }
        )
        failures: list[KafkaError] = []

        def delivered(error: KafkaError | None, _message: object) -> None:
            if error is not None:
                failures.append(error)

        for order in orders:
            if order.number % 1000 == 0:
                producer.poll(0)
            while len(producer) > 150_000:
                producer.poll(0.05)
            producer.produce(topic, order.value, order.key, on_delivery=delivered)
        if producer.flush(60) or failures:
            raise RuntimeError(f"preloading {topic} failed: {failures[:1] or 'not delivered in 60 s'}")


_NOT_YET = {KafkaError.GROUP_ID_NOT_FOUND, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError._TIMED_OUT}


def _drain(
    consumer: Consumer, partitions: int, each: Callable[[bytes, bytes | None], Any], deadline: float
) -> int:
    """Read until every partition has reported its end."""
    count, ended = 0, set[int]()
    while len(ended) < partitions:
        if time.monotonic() > deadline:
            raise TimeoutError("the result topic could not be read to its end in time")
        for message in consumer.consume(5000, timeout=0.2):
            error = message.error()
            if error is None:
                count += 1
                each(message.key(), message.value())
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            else:
                raise KafkaException(error)
    return count


@contextmanager
def run_on(bootstrap_servers: str, *, partitions: int = 4) -> Iterator[Cluster]:
    """A `Cluster` whose topics and groups are deleted at the end, whatever happens."""
    cluster = Cluster(bootstrap_servers, partitions)
    try:
        yield cluster
    finally:
        cluster.delete_topics(cluster.run_id)
        cluster.delete_groups()
        cluster.close()
