"""What the worker's consumer does about errors that come to it in place of records."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from holdfast.errors import ClusterError
from holdfast.kafka.consumer import Batch, ShardConsumer
from holdfast.kafka.settings import CONSUMER_PROTOCOL, GROUP_PROTOCOL
from holdfast.record import TopicPartition


class Client:
    """A client that hands out what it is given."""

    def __init__(self) -> None:
        self.queue: list[Any] = []

    def subscribe(self, *_: object, **__: object) -> None:
        """Nobody gives it any shards."""

    def consume(self, most: int, wait: float) -> list[Any]:  # noqa: ARG002
        """What is there."""
        fetched, self.queue = self.queue[:most], self.queue[most:]
        return fetched

    def tell(self, code: int, topic: str | None = None, partition: int = -1) -> None:
        """An error comes in place of a record."""
        self.queue.append(
            SimpleNamespace(error=lambda: KafkaError(code), topic=lambda: topic, partition=lambda: partition)
        )


@pytest.fixture
def client() -> Client:
    """The client below the consumer."""
    return Client()


@pytest.fixture
def consumer(client: Client, monkeypatch: pytest.MonkeyPatch) -> ShardConsumer:
    """A consumer over it."""
    monkeypatch.setattr("holdfast.kafka.consumer.Consumer", lambda _: client)
    settings = {"group.id": "app.counter", GROUP_PROTOCOL: CONSUMER_PROTOCOL}
    return ShardConsumer(settings, "adds", SimpleNamespace())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "this user may not read in this group"),
        (KafkaError.INVALID_SESSION_TIMEOUT, "session_timeout"),
    ],
)
def test_a_group_that_refuses_for_good_ends_the_worker(
    consumer: ShardConsumer, client: Client, code: int, reason: str
) -> None:
    """The client says it once and asks on: the worker would wait for shards for ever."""
    client.tell(code)
    with pytest.raises(ClusterError, match=rf"group app\.counter.*{reason}"):
        consumer.fetch(10, 0.0)


def test_an_input_that_may_not_be_seen_ends_the_worker(consumer: ShardConsumer, client: Client) -> None:
    """Without its partitions there is nothing that the group could give to anybody."""
    client.tell(KafkaError.TOPIC_AUTHORIZATION_FAILED, "adds")
    with pytest.raises(ClusterError, match=r"adds: .*Allow this user"):
        consumer.fetch(10, 0.0)


def test_a_partition_that_may_not_be_read_stops_its_shard_only(
    consumer: ShardConsumer, client: Client
) -> None:
    """The others may go on."""
    client.tell(KafkaError.TOPIC_AUTHORIZATION_FAILED, "adds", 2)
    assert "Allow this user to read the topic" in str(
        consumer.fetch(10, 0.0).errors[TopicPartition("adds", 2)]
    )


@pytest.mark.parametrize(
    "code",
    [
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._WAIT_COORD,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    ],
)
def test_what_passes_by_itself_is_waited_for(consumer: ShardConsumer, client: Client, code: int) -> None:
    """A broker is away, or a coordinator moves."""
    client.tell(code)
    assert consumer.fetch(10, 0.0) == Batch()
