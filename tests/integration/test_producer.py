"""The typed producer on real brokers: what arrives, what is refused, what is reported as lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from holdfast.errors import BrokersUnreachable, ClusterError, EventRefused, PublishError, SettingError
from holdfast.kafka.deliveries import DeliveryFailure
from holdfast.kafka.producer import Producer, PublishStats
from holdfast.kafka.settings import admin_config
from holdfast.local.cluster import EmbeddedCluster
from holdfast.schema import Event, EventDecoder, Tombstone, TopicEncoder
from holdfast.topology import ResolvedTopic, TopicDecl

pytestmark = pytest.mark.integration

NOWHERE = "127.0.0.1:1"
"""No broker listens here."""

SOON = {"delivery.timeout.ms": 2_000, "linger.ms": 1}
"""Failures that the client retries are given up after two seconds."""


class OrderPlaced(Event):
    order_id: str
    customer_id: str
    amount: Decimal = Decimal("1.50")


class OrderCancelled(Event):
    order_id: str
    customer_id: str


CreateTopic = Callable[..., str]


@pytest.fixture
def create_topic(cluster: Any, topic_name: str) -> Iterator[CreateTopic]:
    """Give a function that creates this test's topic; it is deleted afterwards."""
    admin = AdminClient(admin_config(cluster.bootstrap_servers))

    def create(**config: str) -> str:
        replication = int(config.pop("replication", "3"))
        new = NewTopic(topic_name, 2, replication, config=config)
        admin.create_topics([new])[topic_name].result(30)
        return topic_name

    yield create
    admin.delete_topics([topic_name])[topic_name].exception(30)


def encoder(topic: str, **options: Any) -> TopicEncoder:
    """Return the encoder of a topic with both events."""
    return TopicEncoder(topic, [OrderPlaced, OrderCancelled], "customer_id", **options)


def read_all(servers: str, topic: str) -> list[Any]:
    """Return all records of a topic with two partitions."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "reader", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in (0, 1)])
    records, ended, deadline = [], 0, time.monotonic() + 30
    while ended < 2:
        assert time.monotonic() < deadline, "the topic could not be read to its end"
        for message in consumer.consume(1000, 0.2):
            error = message.error()
            if error is None:
                records.append(message)
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                ended += 1
    consumer.close()
    return records


def test_published_events_arrive_in_order_with_key_and_type(cluster: Any, create_topic: CreateTopic) -> None:
    """Each customer's events are in one partition, in the order in which they were published."""
    topic = create_topic()
    events = [OrderPlaced(order_id=str(n), customer_id=f"c-{n % 7}") for n in range(2_000)]
    with Producer([encoder(topic)], cluster.bootstrap_servers) as producer:
        producer.check()
        for event in events:
            producer.publish(event)
        producer.publish(OrderCancelled(order_id="0", customer_id="c-0"), topic, timestamp=1_700_000_000_000)
        producer.publish(Tombstone(OrderPlaced, "c-1"))
    assert producer.stats == PublishStats(sent=2_002, delivered=2_002, failed=0, waiting=0)

    decoder = EventDecoder([OrderPlaced, OrderCancelled])
    by_customer: dict[str, list[Any]] = {}
    partitions: dict[str, set[int]] = {}
    for record in read_all(cluster.bootstrap_servers, topic):
        customer = record.key().decode()
        decoded = decoder.decode(record.value(), record.headers(), record.key())
        by_customer.setdefault(customer, []).append(decoded)
        partitions.setdefault(customer, set()).add(record.partition())
        if isinstance(decoded, OrderCancelled):
            assert record.timestamp()[1] == 1_700_000_000_000
    assert all(len(found) == 1 for found in partitions.values())
    for customer, found in by_customer.items():
        assert found[: len(events)][: sum(e.customer_id == customer for e in events)] == [
            event for event in events if event.customer_id == customer
        ]
    assert by_customer["c-0"][-1] == OrderCancelled(order_id="0", customer_id="c-0")
    assert by_customer["c-1"][-1] == Tombstone(OrderPlaced, b"c-1")


def test_keys_go_to_the_partitions_that_java_chooses(cluster: Any, create_topic: CreateTopic) -> None:
    """murmur2 of the key, as in Kafka's own client: values from its test suite, modulo 2 partitions."""
    topic = create_topic()
    # org.apache.kafka.common.utils.UtilsTest#testMurmur2
    hashes = {"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536}
    with Producer([encoder(topic)], cluster.bootstrap_servers) as producer:
        for key in hashes:
            producer.publish(OrderPlaced(order_id="1", customer_id=key))
    for record in read_all(cluster.bootstrap_servers, topic):
        assert record.partition() == (hashes[record.key().decode()] & 0x7FFFFFFF) % 2


def test_a_cloudevents_topic_gets_all_attributes(cluster: Any, create_topic: CreateTopic) -> None:
    """The headers that differ from event to event take the general way through the producer."""
    topic = create_topic()
    with Producer([encoder(topic, cloudevents=True, source="shop")], cluster.bootstrap_servers) as producer:
        producer.publish(OrderPlaced(order_id="1", customer_id="c"))
    (record,) = read_all(cluster.bootstrap_servers, topic)
    headers = dict(record.headers())
    assert headers["ce_type"] == b"OrderPlaced.v1"
    assert headers["ce_source"] == b"shop"
    assert headers["ce_id"]


def test_an_event_that_no_topic_declares_is_refused(cluster: Any) -> None:
    """Nothing reaches the client; the error names what may be published."""

    class Other(Event):
        customer_id: str

    with Producer([encoder("a"), encoder("b")], cluster.bootstrap_servers) as producer:
        with pytest.raises(
            EventRefused, match=r"no topic of this producer declares Other; it writes to a, b"
        ):
            producer.publish(Other(customer_id="c"))
        with pytest.raises(EventRefused, match=r"topic a does not declare Other"):
            producer.publish(Other(customer_id="c"), "a")
        with pytest.raises(EventRefused, match=r"topic c is not declared"):
            producer.publish(OrderPlaced(order_id="1", customer_id="c"), "c")
        with pytest.raises(EventRefused, match=r"OrderPlaced may go to a, b; say which"):
            producer.publish(OrderPlaced(order_id="1", customer_id="c"))
    assert producer.stats.sent == 0


def test_a_too_large_event_is_refused_with_size_and_limit(cluster: Any, create_topic: CreateTopic) -> None:
    """It is not sent, and the events after it are."""
    topic = create_topic()
    with Producer([encoder(topic)], cluster.bootstrap_servers) as producer:
        with pytest.raises(EventRefused, match=r"1200\d{3} bytes are more than the limit of 1048588"):
            producer.publish(OrderPlaced(order_id="x" * 1_200_000, customer_id="c"))
        producer.publish(OrderPlaced(order_id="small", customer_id="c"))
    assert len(read_all(cluster.bootstrap_servers, topic)) == 1


def test_the_size_limit_follows_the_topics_declaration(cluster: Any, create_topic: CreateTopic) -> None:
    """A topic that takes 5 MB gets events of 2 MB from a producer that was made for it."""
    config = {"max.message.bytes": "5000000"}
    topic = create_topic(**config)
    decl = TopicDecl.model_validate(
        {
            "<name>": topic,
            "events": ["schemas.orders:OrderPlaced"],
            "key": "customer_id",
            "partitions": 2,
            "config": config,
        }
    )
    resolved = ResolvedTopic(decl, (OrderPlaced,))
    with Producer.for_topics([resolved], cluster.bootstrap_servers, source="shop") as producer:
        producer.publish(OrderPlaced(order_id="x" * 2_000_000, customer_id="c"))
        with pytest.raises(EventRefused, match="limit of 5000000"):
            producer.publish(OrderPlaced(order_id="x" * 6_000_000, customer_id="c"))
    assert producer.stats.delivered == 1


def test_an_event_over_the_topics_own_limit_is_a_counted_failure(
    cluster: Any, create_topic: CreateTopic
) -> None:
    """Only the broker knows that limit; its refusal comes with the next flush."""
    topic = create_topic(**{"max.message.bytes": "2000"})
    properties = {"batch.size": 2000, "compression.type": "none"}
    with Producer([encoder(topic)], cluster.bootstrap_servers, properties=properties) as producer:
        producer.publish(OrderPlaced(order_id="x" * 5000, customer_id="c"))
        with pytest.raises(PublishError, match=r"1 published events were not delivered.*max\.message\.bytes"):
            producer.flush()
        producer.publish(OrderPlaced(order_id="small", customer_id="c"))
    assert producer.stats == PublishStats(sent=2, delivered=1, failed=1, waiting=0)


@pytest.mark.chaos
@pytest.mark.slow
def test_too_few_replicas_in_sync_is_a_failure_and_not_a_silent_loss() -> None:
    """A broker dies, min.insync.replicas cannot be met: every event is reported and counted."""
    with EmbeddedCluster.temporary() as embedded:
        admin = AdminClient(admin_config(embedded.bootstrap_servers))
        new = NewTopic("orders", 1, 2, config={"min.insync.replicas": "2"})
        admin.create_topics([new])["orders"].result(30)
        with Producer([encoder("orders")], embedded.bootstrap_servers, properties=SOON) as producer:
            producer.publish(OrderPlaced(order_id="before", customer_id="c"))
            producer.flush()
            partition = admin.list_topics("orders", timeout=10).topics["orders"].partitions[0]
            follower = next(node for node in partition.replicas if node != partition.leader)
            embedded.kill(follower)
            for number in range(100):
                producer.publish(OrderPlaced(order_id=str(number), customer_id="c"))
            with pytest.raises(PublishError, match=r"100 published events were not delivered\. topic orders"):
                producer.flush()
        assert producer.stats == PublishStats(sent=101, delivered=1, failed=100, waiting=0)


def test_a_handler_takes_failures_instead_of_an_error(cluster: Any, create_topic: CreateTopic) -> None:
    """It gets key, value and reason of each, and close() raises nothing."""
    topic = create_topic(**{"max.message.bytes": "200"})
    failures: list[DeliveryFailure] = []
    with Producer(
        [encoder(topic)],
        cluster.bootstrap_servers,
        properties={"compression.type": "none"},
        on_failure=failures.append,
    ) as producer:
        producer.publish(OrderPlaced(order_id="7" * 500, customer_id="c-7"))
    assert [(failure.topic, failure.key) for failure in failures] == [(topic, b"c-7")]
    assert failures[0].value is not None
    assert b'"order_id":"777' in failures[0].value
    assert "max.message.bytes" in failures[0].reason
    assert producer.stats.failed == 1


def test_a_topic_deleted_under_the_producer_is_a_failure(cluster: Any, create_topic: CreateTopic) -> None:
    """Events for a topic that vanished are reported; it is not created anew."""
    topic = create_topic()
    admin = AdminClient(admin_config(cluster.bootstrap_servers))
    producer = Producer(
        [encoder(topic)],
        cluster.bootstrap_servers,
        properties={**SOON, "topic.metadata.propagation.max.ms": 1_000},
    )
    producer.publish(OrderPlaced(order_id="1", customer_id="c"))
    producer.flush()
    admin.delete_topics([topic])[topic].result(30)
    deadline = time.monotonic() + 20
    while topic in admin.list_topics(timeout=10).topics:
        assert time.monotonic() < deadline
    producer.publish(OrderPlaced(order_id="2", customer_id="c"))
    with pytest.raises(PublishError, match="1 published events were not delivered"):
        producer.close()
    assert producer.stats == PublishStats(sent=2, delivered=1, failed=1, waiting=0)
    assert topic not in admin.list_topics(timeout=10).topics


def test_a_missing_topic_is_told_before_publishing(cluster: Any, topic_name: str) -> None:
    """check() answers at once, where the client would wait for its metadata timeout."""
    with (
        Producer([encoder(topic_name)], cluster.bootstrap_servers) as producer,
        pytest.raises(ClusterError, match=rf"no topic {topic_name}.*holdfast apply"),
    ):
        producer.check()


def test_a_full_queue_makes_publish_wait_without_losing_anything(
    cluster: Any, create_topic: CreateTopic
) -> None:
    """Memory is bounded by the queue: many times its size goes through."""
    topic = create_topic()
    properties = {"queue.buffering.max.messages": 100}
    with Producer([encoder(topic)], cluster.bootstrap_servers, properties=properties) as producer:
        for number in range(20_000):
            producer.publish(OrderPlaced(order_id=str(number), customer_id=str(number)))
            # Log lines of the client wait in the same queue as its events.
            assert producer.stats.waiting <= 110
    found = {record.value() for record in read_all(cluster.bootstrap_servers, topic)}
    assert len(found) == 20_000


def test_a_queue_that_never_empties_is_an_error_after_a_bounded_time() -> None:
    """Without brokers, publish() blocks for its timeout, does not spin, and says why."""
    properties = {"queue.buffering.max.messages": 10}
    producer = Producer(
        [encoder("t")], NOWHERE, properties=properties, room_timeout=1.0, interrupt_timeout=0.1
    )
    started, cpu = time.monotonic(), time.process_time()

    def publish() -> None:
        with producer:
            for number in range(11):
                producer.publish(OrderPlaced(order_id=str(number), customer_id="c"))

    with pytest.raises(PublishError, match=r"no room .* 10 wait for brokers .*refused") as caught:
        publish()
    assert 1.0 <= time.monotonic() - started < 5.0
    assert time.process_time() - cpu < 0.5
    assert caught.value.__notes__ == [
        f"10 of 10 published events were not acknowledged ({producer._deliveries.last_error})."
    ]
    assert producer.stats == PublishStats(sent=10, delivered=0, failed=10, waiting=0)


def test_no_broker_is_a_clear_error_within_ten_seconds() -> None:
    """The reason of the last attempt to connect is in the message."""
    started = time.monotonic()
    with Producer([encoder("t")], NOWHERE) as producer, pytest.raises(BrokersUnreachable, match="refused"):
        producer.check()
    assert time.monotonic() - started < 10


def test_flush_says_how_many_are_still_waiting() -> None:
    """A flush with a time limit raises rather than claim that all is well."""
    producer = Producer([encoder("t")], NOWHERE, interrupt_timeout=0.1)
    producer.publish(OrderPlaced(order_id="1", customer_id="c"))
    with pytest.raises(PublishError, match=r"1 of 1 events were not acknowledged within 0\.2 s"):
        producer.flush(0.2)
    error = RuntimeError("left by an error")
    producer.__exit__(RuntimeError, error, None)
    assert error.__notes__[0].startswith("1 of 1 published events were not acknowledged")


def test_a_closed_producer_refuses_events(cluster: Any) -> None:
    """Closing twice does no harm."""
    producer = Producer([encoder("t")], cluster.bootstrap_servers)
    producer.close()
    producer.close()
    producer.flush()
    with pytest.raises(PublishError, match="producer is closed"):
        producer.publish(OrderPlaced(order_id="1", customer_id="c"))


@pytest.mark.parametrize("properties", [{"acks": "1"}, {"no.such.thing": 1}, {"linger.ms": "soon"}])
def test_unusable_properties_are_refused_at_the_start(properties: dict[str, object]) -> None:
    """By our own rules or by librdkafka's, as the same error."""
    with pytest.raises(SettingError):
        Producer([encoder("t")], NOWHERE, properties=properties)


def _script(servers: str, topic: str, ending: str) -> list[str]:
    """Return a command that publishes 500 events, prints "published", and then does `ending`."""
    body = f"""
        import time
        from holdfast.kafka.producer import Producer
        from holdfast.schema import Event, TopicEncoder

        class OrderPlaced(Event):
            customer_id: str

        encoders = [TopicEncoder({topic!r}, [OrderPlaced], "customer_id")]
        producer = Producer(encoders, {servers!r}, properties={{"linger.ms": 5000}}, interrupt_timeout=3.0)

        def publish():
            for number in range(500):
                producer.publish(OrderPlaced(customer_id=str(number)))
            print("published", flush=True)
    """
    return [sys.executable, "-c", textwrap.dedent(body) + textwrap.dedent(ending)]


def test_ctrl_c_inside_the_block_still_sends_what_was_published(
    cluster: Any, create_topic: CreateTopic
) -> None:
    """Events that wait in the client's queue when SIGINT comes are acknowledged before the program ends."""
    topic = create_topic()
    ending = """
        with producer:
            publish()
            time.sleep(60)
    """
    with _started(_script(cluster.bootstrap_servers, topic, ending)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "published\n"
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in stderr
    assert "not acknowledged" not in stderr
    assert len(read_all(cluster.bootstrap_servers, topic)) == 500


def test_ctrl_c_without_brokers_ends_in_time_and_says_how_many_were_lost() -> None:
    """The flush on the way out is bounded."""
    ending = """
        with producer:
            publish()
            time.sleep(60)
    """
    with _started(_script(NOWHERE, "t", ending)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "published\n"
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert time.monotonic() - started < 10
    assert "500 of 500 published events were not acknowledged" in stderr


def test_a_program_that_never_closes_its_producer_loses_nothing(
    cluster: Any, create_topic: CreateTopic
) -> None:
    """What waits in the queue is sent at interpreter exit."""
    topic = create_topic()
    done = subprocess.run(_script(cluster.bootstrap_servers, topic, "publish()"), timeout=60, check=True)
    assert done.returncode == 0
    assert len(read_all(cluster.bootstrap_servers, topic)) == 500


def _started(command: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
