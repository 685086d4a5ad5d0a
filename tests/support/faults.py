"""Faults on brokers, each of which proves that it happened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka.admin import AdminClient

from holdfast.local.cluster import EmbeddedCluster
from tests.support.application import Application, Run


def leader(app: Application, label: str = "adds", partition: int = 0) -> int:
    """The broker that leads a partition."""
    client = AdminClient({"bootstrap.servers": app.servers})
    topic = app.names.topic(label)
    return int(client.list_topics(topic, timeout=10).topics[topic].partitions[partition].leader)


def coordinator(app: Application) -> int:
    """The broker that coordinates the processor's group, and so keeps its offsets."""
    client = AdminClient({"bootstrap.servers": app.servers})
    [answer] = client.describe_consumer_groups([app.group], request_timeout=10).values()
    return int(answer.result(10).coordinator.id)


@contextmanager
def killed(brokers: EmbeddedCluster, node: int) -> Iterator[None]:
    """A broker is dead while the block lasts; at its end it is started again and caught up."""
    before = brokers.node(node).pid
    assert before is not None
    brokers.kill(node)
    assert brokers.node(node).pid is None
    try:
        yield
    finally:
        brokers.start_node(node)
        brokers.wait_ready(60)
        assert brokers.node(node).pid not in (before, None)


def committed_since(run: Run, before: int, within: float = 40.0) -> None:
    """Wait until more records are handled than `before`: the service has recovered."""
    run.until(lambda: sum(view.records for view in run.views) > before, within, "recovery")
