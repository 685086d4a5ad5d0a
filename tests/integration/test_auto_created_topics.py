"""Brokers that create what anybody names, as is Kafka's default: no question and no write of ours does it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient

from holdfast.chaos.clients.loop import settings as loop
from holdfast.chaos.clients.loop.changelog import Changelog
from holdfast.chaos.clients.loop.orders import CLIENT, LoopOrders
from holdfast.chaos.clients.output_watch import OutputWatch
from holdfast.errors import HoldfastError
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.control_log import ControlLog
from holdfast.kafka.departures import present_brokers
from holdfast.kafka.groups import GroupAdmin
from holdfast.kafka.identity import identify
from holdfast.kafka.offsets import OffsetAdmin
from holdfast.kafka.probe import wait_until_ready
from holdfast.kafka.reader import PartitionReader, reader_settings
from holdfast.kafka.replicas.facts import ReplicaFacts
from holdfast.kafka.roles import BrokerRoles
from holdfast.kafka.scan import LogScanner
from holdfast.kafka.settings import admin_config, consumer_config, producer_config
from holdfast.kafka.standing import standing
from holdfast.kafka.topic_watch import TopicWatch
from holdfast.local.cluster import EmbeddedCluster
from holdfast.record import TopicPartition
from holdfast.topology import TopicSpec

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

WAIT_S = 1.0
Question = Callable[[str, str], object]


@pytest.fixture(scope="module")
def servers() -> Iterator[str]:
    """A cluster of one broker that creates topics by use."""
    with EmbeddedCluster.temporary(1, overrides={"auto.create.topics.enable": "true"}) as cluster:
        yield cluster.bootstrap_servers


def made(servers: str, by: str) -> set[str]:
    """Take away all topics, after everything that was asked before was done, and tell their names.

    The broker hands topics to the controller in the order in which clients ask, whether they do it by use or
    by a request (`AutoTopicCreationManager` and `ForwardingManager` of Kafka share a channel): a topic that
    is created now is there only after those.
    """
    admin, fence = TopicAdmin(servers), f"{by}-fence"
    admin.create([TopicSpec(fence, 1, 1)])
    found = identify(servers).topics
    admin.delete(found)
    return set(found) - {fence}


def place(topic: str) -> TopicPartition:
    """Its first partition."""
    return TopicPartition(topic, 0)


def read(servers: str, topic: str) -> None:
    """Read a partition, as workers do."""
    with contextlib.closing(PartitionReader(reader_settings(consumer_config(servers, "g")))) as reader:
        reader.start({place(topic): 0})
        reader.read(1, WAIT_S)


def in_reader(ask: Callable[[PartitionReader, str], object]) -> Question:
    """A question of a reader."""

    def question(servers: str, topic: str) -> None:
        with contextlib.closing(PartitionReader(reader_settings(consumer_config(servers, "g")))) as reader:
            ask(reader, topic)

    return question


def subscribe(servers: str, topic: str) -> None:
    """Be a member of a group that reads it."""
    client = Consumer(consumer_config(servers, "g"))
    client.subscribe([topic])
    client.consume(1, WAIT_S)
    client.close()


def write(settings: dict[str, object], topic: str) -> None:
    """Write a record to it."""
    client = Producer(settings)
    client.produce(topic, b"")
    client.flush(WAIT_S)
    client.purge()


def watch(servers: str, topic: str) -> None:
    """Ask as a worker's consumer does that gets nothing."""
    it = TopicWatch(servers, topic, WAIT_S)
    it.look()
    assert it._answer is not None
    with contextlib.suppress(KafkaException):
        it._answer.result(WAIT_S + 1)


def watch_output(servers: str, topic: str) -> None:
    """Look at the outputs of a run."""
    with OutputWatch(servers, topic, 1, 1.0) as it:
        while it.silent_s < WAIT_S:
            time.sleep(0.05)


def orders(servers: str, topic: str) -> LoopOrders:
    """What a control of the lab is told that has this topic for everything."""
    return LoopOrders(CLIENT, servers, "w", "g", "t", 1, 1, "", "", (), (), topic)


QUESTIONS: dict[str, Question] = {
    "metadata by an admin client": lambda s, t: AdminClient(admin_config(s)).list_topics(t, timeout=WAIT_S),
    "metadata by a producer": lambda s, t: Producer(producer_config(s)).list_topics(t, timeout=WAIT_S),
    "metadata by a consumer": lambda s, t: Consumer(consumer_config(s, "g")).list_topics(t, timeout=WAIT_S),
    "which cluster it is": lambda s, _: identify(s),
    "whether it is ready": lambda s, _: wait_until_ready(s, brokers=1, timeout=20),
    "which brokers there are": lambda s, t: present_brokers(s, None, t),
    "who leads a partition": lambda s, t: BrokerRoles(s).leader(place(t)),
    "where copies are": lambda s, t: ReplicaFacts(s).partitions(t),
    "whether a topic is there": watch,
    "topics by name": lambda s, t: TopicAdmin(s).topics([t]),
    "partitions": lambda s, t: OffsetAdmin(s).partitions([t]),
    "ends": lambda s, t: OffsetAdmin(s).ends([place(t)]),
    "a scan": lambda s, t: list(LogScanner(s).topic(t)),
    "how far a group is": lambda s, t: GroupAdmin(s).is_drained({"g": [place(t)]}),
    "where a group stands": lambda s, t: standing("g", [place(t)], s, {}),
    "a reader's bounds": in_reader(lambda it, t: it.bounds(place(t), WAIT_S)),
    "a reader's topics": in_reader(lambda it, t: it.topics([t], WAIT_S)),
    "a reader's positions": in_reader(lambda it, t: it.committed([place(t)], WAIT_S)),
    "the offsets of a time": lambda s, t: Consumer(consumer_config(s, "g")).offsets_for_times(
        [ClientPartition(t, 0, 0)], WAIT_S
    ),
    "reading": read,
    "a subscription": subscribe,
    "writing": lambda s, t: write(producer_config(s), t),
    "the control log": lambda s, t: ControlLog(s, t).close(),
    "the lab's watch": watch_output,
    "a control's write": lambda s, t: write(loop.producer(orders(s, t)), t),
    "a control's subscription": lambda s, t: Consumer(
        loop.consumer(orders(s, t), "read_committed")
    ).list_topics(t, timeout=WAIT_S),
    "a control's changelog": lambda s, t: Changelog(s, t, bytes).restore([0]),
}


def test_these_brokers_create_what_a_client_names_that_was_not_told_otherwise(servers: str) -> None:
    AdminClient({"bootstrap.servers": servers}).list_topics("named", timeout=10)
    assert made(servers, "control") == {"named"}


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_client_of_ours_creates_a_topic_by_naming_it(servers: str, question: str) -> None:
    topic = question.replace(" ", "-").replace("'", "")
    with contextlib.suppress(HoldfastError, KafkaException):
        QUESTIONS[question](servers, topic)
    assert made(servers, topic) == set()
