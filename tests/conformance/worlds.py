"""The two worlds in which the same statements about Kafka are tested: simulated brokers, and real ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import confluent_kafka

from holdfast.kafka.admin import TopicAdmin
from holdfast.testing.simulation.client import SimCluster
from holdfast.testing.simulation.consumer import SimConsumer
from holdfast.testing.simulation.kernel import Kernel, Process
from holdfast.testing.simulation.producer import SimProducer
from holdfast.topology import TopicSpec

SESSION_MS = 6_000


class World:
    """Clients, time and topics.

    Attributes:
        name: starts the names of topics, groups and ids; no other test has it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.open: list[Any] = []

    def run(self, statement: Callable[[], None]) -> None:
        """Run a test's body."""
        raise NotImplementedError

    def topic(self, partitions: int = 1) -> str:
        """Make a topic."""
        raise NotImplementedError

    def now(self) -> float:
        """Seconds."""
        raise NotImplementedError

    def sleep(self, seconds: float) -> None:
        """Wait."""
        raise NotImplementedError

    def connect(self, kind: str, settings: Mapping[str, Any]) -> Any:
        """Make a client."""
        raise NotImplementedError

    def producer(self, label: str = "writer", **settings: Any) -> Any:
        """A transactional producer whose id was taken over."""
        client = self.connect(
            "Producer", {"transactional.id": f"{self.name}.{label}", "linger.ms": 5, **settings}
        )
        client.init_transactions(20)
        return client

    def consumer(self, instance: str | None = None, **settings: Any) -> Any:
        """A consumer of the test's group; static with an instance's name."""
        own = {"group.instance.id": f"{self.name}.{instance}"} if instance else {}
        client = self.connect(
            "Consumer",
            {
                "group.id": f"{self.name}.group",
                "session.timeout.ms": SESSION_MS,
                "heartbeat.interval.ms": 500,
                "partition.assignment.strategy": "cooperative-sticky",
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                **own,
                **settings,
            },
        )
        self.open.append(client)
        return client

    def until(self, condition: Callable[[], Any], within: float = 30.0) -> Any:
        """Wait for a condition."""
        deadline = self.now() + within
        while not (result := condition()):
            assert self.now() < deadline, "not in time"
            self.sleep(0.02)
        return result

    def place(self, topic: str, partition: int = 0, offset: int = -1001) -> confluent_kafka.TopicPartition:
        """A partition, for the client."""
        return confluent_kafka.TopicPartition(topic, partition, offset)

    def close(self) -> None:
        """Let go of all consumers."""
        for client in self.open:
            # What it was not asked for is heard first; else it may hang, see `ShardConsumer.close`.
            client.consume(1, 0.0)
            client.close()


class RealWorld(World):
    """Real brokers."""

    def __init__(self, name: str, servers: str) -> None:
        super().__init__(name)
        self._servers = servers
        self._topics = 0

    def run(self, statement: Callable[[], None]) -> None:
        """Run a test's body."""
        try:
            statement()
        finally:
            self.close()

    def topic(self, partitions: int = 1) -> str:
        """Make a topic."""
        self._topics += 1
        name = f"{self.name}.topic{self._topics}"
        TopicAdmin(self._servers).create([TopicSpec(name, partitions, 3, {})])
        return name

    def now(self) -> float:
        """Seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def connect(self, kind: str, settings: Mapping[str, Any]) -> Any:
        """Make a client."""
        return getattr(confluent_kafka, kind)({**settings, "bootstrap.servers": self._servers})


class SimulatedWorld(World):
    """Simulated brokers; the body runs as a thread of a simulated process."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.kernel = Kernel(1)
        self._cluster = SimCluster.on(self.kernel)
        self._process = Process("test")
        self._topics = 0

    def run(self, statement: Callable[[], None]) -> None:
        """Run a test's body."""
        ended: list[BaseException | None] = []

        def body() -> None:
            try:
                statement()
                self.close()
            except Exception as error:  # noqa: BLE001 - raised again below
                ended.append(error)
            else:
                ended.append(None)

        self.kernel.spawn(self._process, body, "test")
        self.kernel.run(lambda: bool(ended), 1_000.0, 1_000_000)
        assert ended, "no end in virtual time"
        if ended[0] is not None:
            raise ended[0]

    def topic(self, partitions: int = 1) -> str:
        """Make a topic."""
        self._topics += 1
        name = f"{self.name}.topic{self._topics}"
        self._cluster.brokers.create(name, partitions)
        return name

    def now(self) -> float:
        """Virtual seconds."""
        return self.kernel.now

    def sleep(self, seconds: float) -> None:
        """Wait, in virtual time."""
        self.kernel.sleep(seconds)

    def connect(self, kind: str, settings: Mapping[str, Any]) -> Any:
        """Make a client."""
        made = {"Producer": SimProducer, "Consumer": SimConsumer}[kind]
        return made(self._cluster, self._process, settings)
