"""Questions about offsets while leaders change, on brokers that nobody else uses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.admin import AdminClient

from holdfast.errors import BrokersUnreachable
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.offsets import OffsetAdmin
from holdfast.local.cluster import EmbeddedCluster
from holdfast.record import TopicPartition
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
