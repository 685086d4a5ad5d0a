"""The sink for another Kafka cluster passes the tests of all sinks, on brokers that are killed and frozen."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import psutil
import pytest

from holdfast.local.cluster import EmbeddedCluster
from holdfast.sinks.base import Sink
from holdfast.sinks.kafka import KafkaRecord
from holdfast.sinks.kafka.sink import KafkaSettings, KafkaSink
from holdfast.testing.sinks import SinkConformance, WithHangs, WithOutages, WithPositions, WithRefusals
from tests.conftest import TestCluster
from tests.support.mirror import MirrorTopic

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

AHEAD_MS = 2 * 3_600_000
"""Beyond the hour that Kafka 4 allows a timestamp to be in the future."""


class Entries(SinkConformance):
    """A topic of entries."""

    topic: MirrorTopic

    def sink(self) -> Sink:
        return KafkaSink(KafkaSettings("entries", self.topic.servers, timeout=self.timeout_s))

    def value(self, key: str, payload: Any) -> KafkaRecord:
        return KafkaRecord(self.topic.name, key, json.dumps(payload))

    def held(self, key: str) -> Sequence[Any]:
        return [json.loads(value or b"") for value in self.topic.by_key().get(key.encode(), ())]


@pytest.fixture
def entries(cluster: TestCluster) -> Iterator[MirrorTopic]:
    """Give a topic on the shared brokers: for a sink any brokers are others."""
    topic = MirrorTopic(cluster.bootstrap_servers, f"entries-{time.time_ns()}", 2, {})
    yield topic
    topic.close()


class TestKafka(Entries, WithPositions, WithRefusals):
    """On brokers that stay."""

    @pytest.fixture(autouse=True)
    def on_brokers(self, entries: MirrorTopic) -> None:
        self.topic = entries

    # Each cut that goes to another worker takes three shards over.
    test_batches_may_come_again_in_any_cut = pytest.mark.slow(
        SinkConformance.test_batches_may_come_again_in_any_cut
    )

    def refused(self, key: str) -> KafkaRecord:
        ahead = int(time.time() * 1000) + AHEAD_MS
        return KafkaRecord(self.topic.name, key, b'"refused"', timestamp=ahead)


@pytest.fixture(scope="module")
def lonely() -> Iterator[tuple[EmbeddedCluster, MirrorTopic]]:
    """Give a single broker, to be killed and frozen, with a topic."""
    with EmbeddedCluster.temporary(nodes=1) as cluster:
        topic = MirrorTopic(cluster.bootstrap_servers, "entries", 2, {})
        yield cluster, topic
        topic.close()


@pytest.mark.slow
class TestKafkaInTrouble(Entries, WithOutages, WithHangs):
    """On a broker that goes away."""

    timeout_s = 4.0
    once = True

    @pytest.fixture(autouse=True)
    def on_broker(self, lonely: tuple[EmbeddedCluster, MirrorTopic]) -> None:
        self.broker, self.topic = lonely

    def stop(self) -> None:
        self.broker.kill(1)

    def start(self) -> None:
        self.broker.start_node(1)
        self.broker.wait_ready()

    def _process(self) -> psutil.Process:
        process = self.broker.node(1).process()
        assert process is not None
        return process

    def freeze(self) -> None:
        self._process().suspend()

    def thaw(self) -> None:
        self._process().resume()
        self.broker.wait_ready()
