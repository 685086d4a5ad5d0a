"""Three brokers in containers: each fault happens, and acknowledged records survive all of them."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Self

import pytest
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from holdfast.chaos.containers.cluster import ContainerCluster, CutFrom
from holdfast.chaos.containers.node import State
from holdfast.chaos.containers.ownership import CLUSTER_LABEL
from holdfast.errors import ContainerError
from holdfast.local.jars import kafka_version
from tests.support.engine import Engine, docker

pytestmark = [pytest.mark.integration, pytest.mark.containers, pytest.mark.timeout(900)]

PARTITIONS = 3
PATIENCE_S = 60.0
PATIENCE_OF_CLIENTS = {"socket.timeout.ms": 4000, "socket.connection.setup.timeout.ms": 2000, "log_level": 2}
"""A broker that is paused or cut off closes no connection: by default a client would wait a minute for it."""


@pytest.fixture(scope="module")
def brokers(docker_engine: Engine) -> Iterator[ContainerCluster]:
    """One cluster for all tests of this file; each leaves it whole."""
    with ContainerCluster() as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def each_test_leaves_the_cluster_whole(request: pytest.FixtureRequest) -> Iterator[None]:
    """Also one that failed in the midst of a fault."""
    yield
    if "brokers" in request.fixturenames:
        brokers: ContainerCluster = request.getfixturevalue("brokers")
        for node in brokers.node_ids:
            brokers.connect(node)
            brokers.unpause(node)
            brokers.start_node(node)
        brokers.wait_ready()


class Writing:
    """Writes numbers in their order, to each partition by turns, while its block lasts.

    Attributes:
        acknowledged: those that all replicas in sync have, by partition, in their order.
    """

    def __init__(self, cluster: ContainerCluster, topic: str) -> None:
        self.acknowledged: list[list[int]] = [[] for _ in range(PARTITIONS)]
        self.failed: list[str] = []
        self._topic = topic
        self._end = threading.Event()
        self._producer = Producer(
            PATIENCE_OF_CLIENTS
            | {"bootstrap.servers": cluster.bootstrap_servers, "enable.idempotence": True, "linger.ms": 5}
            | {"request.timeout.ms": 3000}
        )
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        assert self._producer.flush(PATIENCE_S) == 0

    def goes_on(self) -> None:
        """Return when each partition has taken records that were written after this call."""
        before = [len(numbers) for numbers in self.acknowledged]
        until(
            lambda: all(len(now) > then + 50 for now, then in zip(self.acknowledged, before, strict=True)),
            "each partition takes records",
        )

    def _write(self) -> None:
        for number in itertools.count():
            if self._end.wait(0.002):
                return
            self._producer.produce(
                self._topic, str(number).encode(), partition=number % PARTITIONS, on_delivery=self._note
            )
            self._producer.poll(0)

    def _note(self, error: object, message: Message) -> None:
        if error is not None:
            self.failed.append(str(error))
        else:
            self.acknowledged[message.partition()].append(int(message.value()))


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that happens."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.1)


def administrator(servers: str) -> AdminClient:
    """A client of its own, that knows of no broker yet."""
    return AdminClient(PATIENCE_OF_CLIENTS | {"bootstrap.servers": servers})


def others(cluster: ContainerCluster, node: int) -> str:
    """The addresses of all brokers but one."""
    return ",".join(server for n, server in addresses(cluster).items() if n != node)


def addresses(cluster: ContainerCluster) -> dict[int, str]:
    """Where each broker is."""
    return dict(zip(cluster.node_ids, cluster.bootstrap_servers.split(","), strict=True))


def alive(servers: str) -> set[int]:
    """The brokers that those at some addresses take for alive; none if nobody answers."""
    try:
        return set(administrator(servers).list_topics(timeout=5).brokers)
    except KafkaException:
        return set()


def read(cluster: ContainerCluster, topic: str) -> list[list[int]]:
    """All records of a topic, by partition, from a group of its own."""
    consumer = Consumer(
        {"bootstrap.servers": cluster.bootstrap_servers, "group.id": "reader", "enable.partition.eof": False}
    )
    partitions = [TopicPartition(topic, n, 0) for n in range(PARTITIONS)]
    ends = {n: consumer.get_watermark_offsets(TopicPartition(topic, n))[1] for n in range(PARTITIONS)}
    consumer.assign(partitions)
    found: list[list[int]] = [[] for _ in range(PARTITIONS)]
    while any(at.offset < ends[at.partition] for at in consumer.position(partitions)):
        for message in consumer.consume(1000, timeout=1):
            assert message.error() is None
            found[message.partition()].append(int(message.value()))
    consumer.close()
    return found


def leads_nothing(cluster: ContainerCluster, topic: str, node: int) -> bool:
    """Whether the others say that a broker leads no partition of a topic."""
    try:
        found = administrator(others(cluster, node)).list_topics(topic, timeout=5).topics[topic]
    except KafkaException:
        return False
    return all(partition.leader not in (node, -1) for partition in found.partitions.values())


def test_what_was_acknowledged_survives_a_kill_a_pause_and_being_cut_off(
    brokers: ContainerCluster, topic_name: str
) -> None:
    """Each fault hits a broker that leads a partition, is noticed by the others, and ends."""
    admin = administrator(brokers.bootstrap_servers)
    admin.create_topics([NewTopic(topic_name, PARTITIONS, 3)])[topic_name].result(30)
    faults: list[tuple[int, Callable[[int], None], Callable[[int], None], State]] = [
        (1, brokers.kill, brokers.start_node, State.EXITED),
        (2, brokers.pause, brokers.unpause, State.PAUSED),
        (3, lambda node: brokers.disconnect(node, CutFrom.BROKERS), brokers.connect, State.RUNNING),
        (1, brokers.disconnect, brokers.connect, State.RUNNING),
    ]
    with Writing(brokers, topic_name) as writing:
        writing.goes_on()
        for node, hit, heal, state in faults:
            hit(node)
            assert brokers.state(node) is state
            until(partial(leads_nothing, brokers, topic_name, node), f"node {node} is replaced")
            writing.goes_on()
            heal(node)
            until(lambda: alive(brokers.bootstrap_servers) == {1, 2, 3}, "all are back")
            brokers.wait_ready()
        writing.goes_on()
    assert writing.failed == []
    assert read(brokers, topic_name) == writing.acknowledged


def test_a_node_that_lost_the_brokers_is_still_there_for_clients(brokers: ContainerCluster) -> None:
    """And one that lost everybody is not."""
    its_own = addresses(brokers)[2]
    brokers.disconnect(2, CutFrom.BROKERS)
    until(lambda: alive(others(brokers, 2)) == {1, 3}, "the others have noticed")
    assert alive(its_own), "it answers, and knows no better"
    brokers.disconnect(2)
    assert alive(its_own) == set()
    brokers.connect(2)
    until(lambda: alive(others(brokers, 2)) == {1, 2, 3}, "it is back")
    assert alive(its_own) == {1, 2, 3}


def test_a_node_that_is_stopped_in_good_order_says_so_and_comes_back(brokers: ContainerCluster) -> None:
    """Its log has the end of a broker that handed over, not of one that was killed."""
    assert not brokers.stop_node(3)
    assert brokers.state(3) is State.EXITED
    assert "shut down completed" in brokers.log(3)
    brokers.start_node(3)
    brokers.wait_ready()
    assert f"Kafka version: {kafka_version()}" in brokers.log(3)


def test_a_node_that_is_not_there_is_told(brokers: ContainerCluster) -> None:
    """Whatever was to be done to it."""
    with pytest.raises(ContainerError, match="has no node 4"):
        brokers.pause(4)


def test_a_cluster_that_is_stopped_leaves_nothing(docker_engine: Engine) -> None:
    """No container, network or volume, and its addresses are no more."""
    before = everything()
    cluster = ContainerCluster(1, overrides={"offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1"})  # fmt: skip
    cluster.start()
    assert everything() != before
    cluster.stop()
    assert everything() == before
    with pytest.raises(ContainerError, match="does not run"):
        _ = cluster.bootstrap_servers


OWNER = """
from holdfast.chaos.containers.cluster import ContainerCluster
cluster = ContainerCluster(2)
cluster.start()
print(cluster.container(1), flush=True)
input()
"""


def test_a_cluster_ends_with_its_owner_even_if_that_is_killed(docker_engine: Engine) -> None:
    """SIGKILL leaves the owner no time to remove anything; its reaper does."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        container = owner.stdout.readline().strip()
        label = docker(
            "inspect", container, "--format", f'{{{{index .Config.Labels "{CLUSTER_LABEL}"}}}}'
        ).stdout.strip()
        assert len(of_cluster(label)) == 2 + 2, "containers and networks"
        owner.kill()
    until(lambda: not of_cluster(label), "what the owner made is removed")


def of_cluster(label: str) -> list[str]:
    """Containers and networks of a cluster."""
    chosen = ["--quiet", "--filter", f"label={CLUSTER_LABEL}={label}"]
    return [*docker("ps", "--all", *chosen).stdout.split(), *docker("network", "ls", *chosen).stdout.split()]


def everything() -> tuple[str, ...]:
    """All that the engine has of what a cluster is made of."""
    listings = (["ps", "--all", "--quiet"], ["network", "ls", "--quiet"], ["volume", "ls", "--quiet"])
    return tuple(docker(*listing).stdout for listing in listings)
