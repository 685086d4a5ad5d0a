"""Who is in a group, how far it is, and when everything counts as done."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as ClientPartition

from holdfast.errors import BrokersUnreachable, ClusterError
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.groups import GroupAdmin, partitions_of
from holdfast.kafka.scan import LogScanner
from holdfast.record import TopicPartition
from holdfast.topology import TopicSpec
from tests.conftest import TestCluster
from tests.support.application import COUNTER, Application
from tests.support.events import Added

pytestmark = pytest.mark.integration


@pytest.fixture
def topic(cluster: TestCluster, topic_name: str) -> str:
    """Create a topic of two partitions."""
    TopicAdmin(cluster.bootstrap_servers).create([TopicSpec(topic_name, 2, 3, {})])
    return topic_name


@pytest.fixture
def groups(cluster: TestCluster) -> Iterator[GroupAdmin]:
    """Give a connection to the shared brokers."""
    with GroupAdmin(cluster.bootstrap_servers) as admin:
        yield admin


@pytest.fixture
def writer(cluster: TestCluster, topic: str) -> Producer:
    """Give a transactional producer of the test's own."""
    client = Producer({"bootstrap.servers": cluster.bootstrap_servers, "transactional.id": topic})
    client.init_transactions(20)
    return client


def member(cluster: TestCluster, group: str) -> Consumer:
    """A consumer of a group, configured like a worker's in what matters here."""
    return Consumer(
        {
            "bootstrap.servers": cluster.bootstrap_servers,
            "group.id": group,
            "client.id": "a-worker",
            "group.instance.id": f"{group}.slot",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )


def write(writer: Producer, topic: str, count: int, partition: int = 0) -> None:
    """Write some records in one transaction of their own."""
    writer.begin_transaction()
    for number in range(count):
        writer.produce(topic, str(number).encode(), partition=partition)
    writer.commit_transaction()


def await_end(groups: GroupAdmin, place: TopicPartition, end: int) -> None:
    """Wait until a commit's marker has reached a partition."""
    deadline = time.monotonic() + 10
    while groups.ends([place])[place] < end:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_group_that_never_committed_has_everything_before_it(
    groups: GroupAdmin, writer: Producer, topic: str
) -> None:
    """Without a position, the lag counts from the first record that is kept."""
    write(writer, topic, 5)
    places = partitions_of([topic], 2)
    await_end(groups, places[0], 6)
    found = groups.is_drained({topic: places})
    assert not found.drained
    assert found.groups[topic][places[0]].committed is None
    assert found.lag[topic] == 6


def test_a_gap_of_transaction_markers_is_no_lag(
    cluster: TestCluster, groups: GroupAdmin, writer: Producer, topic: str
) -> None:
    """A group that has committed the last record is done, although the end lies beyond the marker."""
    write(writer, topic, 5)
    places = partitions_of([topic], 2)
    await_end(groups, places[0], 6)
    consumer = member(cluster, topic)
    consumer.commit(offsets=[ClientPartition(topic, 0, 5)], asynchronous=False)
    consumer.close()
    found = groups.is_drained({topic: places})
    assert found.drained
    assert found.groups[topic][places[0]].end == 6
    assert found.lag[topic] == 0


def test_one_record_behind_is_not_drained(
    cluster: TestCluster, groups: GroupAdmin, writer: Producer, topic: str
) -> None:
    """What looks like a marker's gap by its size is a record, if there is one."""
    write(writer, topic, 5)
    places = partitions_of([topic], 2)
    await_end(groups, places[0], 6)
    consumer = member(cluster, topic)
    consumer.commit(offsets=[ClientPartition(topic, 0, 4)], asynchronous=False)
    consumer.close()
    assert not groups.is_drained({topic: places}).drained


def test_an_open_transaction_on_an_input_is_not_drained(
    groups: GroupAdmin, writer: Producer, topic: str
) -> None:
    """Records that may still be committed count, though no reader can see them yet."""
    places = partitions_of([topic], 2)
    assert groups.is_drained({topic: places}).drained
    writer.begin_transaction()
    writer.produce(topic, b"x", partition=1)
    writer.flush(10)
    assert not groups.is_drained({topic: places}).drained
    writer.abort_transaction()
    await_end(groups, places[1], 2)
    assert groups.is_drained({topic: places}).drained


def test_positions_in_an_open_transaction_are_not_stable(
    cluster: TestCluster, groups: GroupAdmin, writer: Producer, topic: str
) -> None:
    """While a transaction holds a group's positions, the group is not done, and that is no error."""
    write(writer, topic, 1)
    places = partitions_of([topic], 2)
    await_end(groups, places[0], 2)
    consumer = member(cluster, topic)
    consumer.subscribe([topic])
    while not consumer.assignment():
        consumer.poll(0.1)
    writer.begin_transaction()
    writer.send_offsets_to_transaction([ClientPartition(topic, 0, 1)], consumer.consumer_group_metadata())
    found = groups.is_drained({topic: places}, patience=0.3)
    assert not found.drained
    assert topic not in found.groups
    writer.commit_transaction()
    assert groups.is_drained({topic: places}, patience=10).drained
    consumer.close()


def test_a_group_tells_its_members_and_their_partitions(
    cluster: TestCluster, groups: GroupAdmin, topic: str
) -> None:
    """Client, instance and partitions of each member are told; an unknown group is dead and empty."""
    assert groups.describe(topic).state == "dead"
    consumer = member(cluster, topic)
    consumer.subscribe([topic])
    while not consumer.assignment():
        consumer.poll(0.1)
    found = groups.describe(topic)
    consumer.close()
    assert found.state == "stable"
    (only,) = found.members
    assert (only.client_id, only.instance_id) == ("a-worker", f"{topic}.slot")
    assert only.partitions == partitions_of([topic], 2)
    assert topic in groups.groups()


def test_an_input_that_does_not_exist_is_named(groups: GroupAdmin, topic_name: str) -> None:
    """The error names the topic and the command that creates it."""
    with pytest.raises(ClusterError, match=f"{topic_name}.*holdfast apply"):
        groups.is_drained({"some-group": partitions_of([topic_name], 1)})


def test_no_broker_is_told_within_ten_seconds() -> None:
    """A wrong address ends in one sentence, soon."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    began = time.monotonic()
    with pytest.raises(BrokersUnreachable, match=address):
        GroupAdmin(address)
    assert time.monotonic() - began < 10


def test_a_scan_ends_at_the_records_that_were_there(
    cluster: TestCluster, groups: GroupAdmin, writer: Producer, topic: str
) -> None:
    """A scan sees what was committed when it began: no aborted record, and none that comes later."""
    write(writer, topic, 3)
    writer.begin_transaction()
    writer.produce(topic, b"aborted", partition=0)
    writer.flush(10)
    writer.abort_transaction()
    write(writer, topic, 2, partition=1)
    await_end(groups, TopicPartition(topic, 0), 6)
    scan = LogScanner(cluster.bootstrap_servers).topic(topic)
    first = next(scan)
    write(writer, topic, 4)
    values = [first.value(), *(record.value() for record in scan)]
    assert sorted(values) == [b"0", b"0", b"1", b"1", b"2"]


def test_a_scan_waits_for_a_transaction_that_is_being_committed(
    cluster: TestCluster, writer: Producer, topic: str
) -> None:
    """Records whose marker has not arrived yet when the scan begins are part of it."""
    for _ in range(5):
        write(writer, topic, 1)
        write(writer, topic, 1, partition=1)
    assert sum(1 for _ in LogScanner(cluster.bootstrap_servers).topic(topic)) == 10


def test_scans_may_be_interleaved(cluster: TestCluster, writer: Producer, topic: str) -> None:
    """Two scans at once do not take each other's records."""
    write(writer, topic, 50)
    scanner = LogScanner(cluster.bootstrap_servers)
    pairs = list(zip(scanner.topic(topic), scanner.topic(topic), strict=True))
    assert len(pairs) == 50
    assert all(a.offset() == b.offset() for a, b in pairs)


def test_a_scan_of_no_topic_is_empty(cluster: TestCluster, topic_name: str) -> None:
    """A topic that does not exist holds no records."""
    assert list(LogScanner(cluster.bootstrap_servers).topic(topic_name)) == []


@pytest.mark.slow
def test_an_application_is_drained_when_its_worker_has_committed_all(
    application: Callable[..., Application],
) -> None:
    """The worker's own commits satisfy the rule, and the group names the worker's slot."""
    app = application()
    app.publish(*(Added(key=f"k{n % 7}", n=n) for n in range(200)))
    inputs = {app.group: partitions_of([app.names.topic("adds")], 4)}
    with GroupAdmin(app.servers) as groups:
        assert groups.is_drained(inputs).lag[app.group] == 200
        with app.run() as run:
            run.until(lambda: groups.is_drained(inputs).drained, 40, "all drained")
            found = groups.describe(app.group)
    assert [worker.client_id for worker in found.members] == [f"{app.names.app}.{COUNTER}.slot-0"]
    assert len(app.decoded("sums")) == 200
