"""Committed positions and the topic that they belong to, on real brokers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer

from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.positions import Note, noted
from holdfast.kafka.reader import PartitionReader, reader_settings
from holdfast.kafka.settings import consumer_config
from holdfast.record import TopicPartition
from holdfast.topology import TopicSpec
from tests.conftest import TestCluster

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


@pytest.fixture
def topic(cluster: TestCluster, topic_name: str) -> str:
    """A topic with three partitions."""
    TopicAdmin(cluster.bootstrap_servers).create([TopicSpec(topic_name, 3, 3, {})])
    return topic_name


@pytest.fixture
def reader(cluster: TestCluster, topic: str) -> Iterator[PartitionReader]:
    """A reader in the group that is called after the topic."""
    reader = PartitionReader(reader_settings(consumer_config(cluster.bootstrap_servers, topic)))
    yield reader
    reader.close()


def test_a_position_of_another_topic_of_the_same_name_counts_as_none(
    cluster: TestCluster, topic: str, reader: PartitionReader
) -> None:
    """A position without a note, such as another tool's, counts as it is."""
    ids = {topic: reader.topics([topic], 10.0)[topic].id}
    places = [TopicPartition(topic, number) for number in range(3)]
    told = [ids[topic], "another", None]
    client = Consumer({"bootstrap.servers": cluster.bootstrap_servers, "group.id": topic})
    for place, id_ in zip(places, told, strict=True):
        client.commit(offsets=noted({place: 5}, lambda _, id_=id_: Note(id_)), asynchronous=False)
    client.close()
    assert reader.committed(places, 10.0, ids.get) == {places[0]: 5, places[1]: None, places[2]: 5}
    assert set(reader.committed(places, 10.0).values()) == {5}
