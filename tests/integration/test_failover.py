"""Questions about offsets, and commits, while leaders change, on brokers that nobody else uses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Timer

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient

from holdfast.errors import BrokersUnreachable
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.groups import GroupAdmin
from holdfast.kafka.offsets import OffsetAdmin
from holdfast.kafka.reader import PartitionReader, reader_settings
from holdfast.kafka.scan import LogScanner
from holdfast.kafka.settings import consumer_config, producer_config
from holdfast.kafka.transaction import _OFFSETS_S, TransactionalWriter
from holdfast.kafka.unit_writer import Ending, Outcome
from holdfast.local.cluster import EmbeddedCluster
from holdfast.record import Output, TopicPartition
from holdfast.runtime.unit_end import PATIENCE_S, UnitEnd
from holdfast.topology import TopicSpec

Names = Callable[[str], str]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def brokers() -> Iterator[EmbeddedCluster]:
    """Three brokers to kill."""
    with EmbeddedCluster.temporary() as cluster:
        yield cluster


def test_a_client_that_knows_a_dead_leader_finds_the_new_one(
    brokers: EmbeddedCluster, topic_name: str
) -> None:
    """Within the time of one call, not when the client looks at its metadata again after minutes."""
    TopicAdmin(brokers.bootstrap_servers).create([TopicSpec(topic_name, 1, 3, {})])
    place = TopicPartition(topic_name, 0)
    offsets = OffsetAdmin(brokers.bootstrap_servers)
    assert offsets.ends([place]) == offsets.begins([place]) == {place: 0}
    dead = leader(brokers, topic_name)
    brokers.kill(dead)
    try:
        until(lambda: leader(brokers, topic_name) not in (dead, -1), 40, "a new leader")
        began = time.monotonic()
        assert offsets.ends([place]) == {place: 0}
        assert time.monotonic() - began < 8
    finally:
        brokers.start_node(dead)
        brokers.wait_ready(60)


def test_a_reader_that_knows_a_dead_controller_learns_what_topics_are(
    brokers: EmbeddedCluster, topic_name: str
) -> None:
    """With KRaft each client is told some broker in the controller's place: a dead one cost restores 10 s."""
    TopicAdmin(brokers.bootstrap_servers).create([TopicSpec(topic_name, 1, 3, {})])
    config = reader_settings(consumer_config(brokers.bootstrap_servers, topic_name))
    readers = [PartitionReader(config) for _ in range(12)]
    for reader in readers:
        reader.topics([topic_name], 10)
    dead = leader(brokers, topic_name)
    brokers.kill(dead)
    try:
        until(lambda: leader(brokers, topic_name) not in (dead, -1), 40, "a leader among the others")
        assert all(reader.topics([topic_name], 5)[topic_name].partitions == 1 for reader in readers)
    finally:
        for reader in readers:
            reader.close()
        brokers.start_node(dead)
        brokers.wait_ready(60)


def test_topics_are_shown_while_nobody_leads_one(brokers: EmbeddedCluster, unique_name: Names) -> None:
    """`holdfast topics` is where an error about a missing leader sends people."""
    alone, other = TopicSpec(unique_name("alone"), 1, 1, {}), TopicSpec(unique_name("other"), 1, 3, {})
    admin = TopicAdmin(brokers.bootstrap_servers)
    admin.create([alone, other])
    dead = leader(brokers, alone.name)
    brokers.kill(dead)
    try:
        until(lambda: leader(brokers, alone.name) == -1, 40, "a partition without leader")
        admin = TopicAdmin(brokers.bootstrap_servers)
        assert admin.record_counts([alone.name, other.name]) == {other.name: 0}
        place = TopicPartition(alone.name, 0)
        with pytest.raises(BrokersUnreachable, match="every partition has a leader"):
            OffsetAdmin(brokers.bootstrap_servers, timeout=3).ends([place])
    finally:
        brokers.start_node(dead)
        brokers.wait_ready(60)


@pytest.mark.parametrize("heard", ["before the offsets are sent", "later"])
def test_a_unit_is_done_again_when_the_groups_coordinator_leaves_in_the_midst_of_it(
    brokers: EmbeddedCluster, unique_name: Names, heard: str
) -> None:
    """At once: by itself, the client would wait for that broker for ever."""
    source, output, group = unique_name("source"), unique_name("output"), unique_name("group")
    servers = brokers.bootstrap_servers
    TopicAdmin(servers).create([TopicSpec(name, 1, 3, {}) for name in (source, output)])
    member = Consumer({"bootstrap.servers": servers, "group.id": group}).consumer_group_metadata()
    settings = producer_config(servers, transactional_id=unique_name("id"))
    writer = TransactionalWriter(settings, 10.0)

    def finish(position: int) -> Ending | None:
        return UnitEnd(writer, {TopicPartition(source, 0): position}, member, PATIENCE_S).take(wait=None)

    def send() -> None:
        writer.begin()
        writer.send([Output(output, b"value", b"key", 0, [])])

    send()
    ending = finish(1)
    assert ending is not None
    assert ending.outcome is Outcome.COMMITTED
    leaving = coordinator(brokers, group)
    send()
    brokers.stop_node(leaving)
    try:
        until(lambda: leaving not in writer._client.list_topics(timeout=10).brokers, 40, "its removal")
        if heard == "later":
            lost = writer._lost
            Timer(1.0, setattr, (lost, "reason", lost.reason)).start()
            lost.reason = ""
        began = time.monotonic()
        given_up = finish(2)
        assert given_up is not None
        assert given_up.outcome is Outcome.GIVEN_UP, given_up.reason
        if heard == "before the offsets are sent":
            assert time.monotonic() - began < _OFFSETS_S
        writer.reopen()
        send()
        ending = finish(2)
        assert ending is not None
        assert ending.outcome is Outcome.COMMITTED, ending.reason
        assert time.monotonic() - began < 8
        assert len(list(LogScanner(servers).topic(output))) == 2
        source_place = TopicPartition(source, 0)
        with GroupAdmin(servers) as groups:
            assert groups.committed(group, [source_place]) == {source_place: 2}
    finally:
        writer.close()
        brokers.start_node(leaving)
        brokers.wait_ready(60)


def coordinator(brokers: EmbeddedCluster, group: str) -> int:
    """Who coordinates a group."""
    client = AdminClient({"bootstrap.servers": brokers.bootstrap_servers})
    found = client.describe_consumer_groups([group], request_timeout=10)[group].result(10)
    return int(found.coordinator.id)


def leader(brokers: EmbeddedCluster, topic: str) -> int:
    """Who leads the only partition, as a new client hears it; -1 for nobody."""
    client = AdminClient({"bootstrap.servers": brokers.bootstrap_servers})
    found = client.list_topics(topic, timeout=10).topics[topic].partitions
    return int(found[0].leader) if found else -1


def until(condition: Callable[[], bool], within: float, what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {within:.0f} s"
        time.sleep(0.1)
