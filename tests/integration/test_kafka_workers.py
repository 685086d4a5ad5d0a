"""Workers whose sink is another Kafka cluster: whatever dies on whichever side, each record is there once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from holdfast.local.cluster import EmbeddedCluster
from tests.conftest import TestCluster
from tests.support.application import PARTITIONS, Application
from tests.support.downstream import (
    by_key,
    freeze_and_wake_under_load,
    kill_under_load,
    some,
    wait_for_system,
)
from tests.support.events import Added
from tests.support.load import Load
from tests.support.mirror import MirrorTopic

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]
Make = Callable[..., Application]

MIRROR = """
import time
from holdfast import Context, processor
from holdfast.sinks.kafka import KafkaRecord
from test_events import Added

@processor
def handle(event: Added, at: Context) -> list[KafkaRecord] | None:
    if event.key == "nothing":
        return None
    origin = {"partition": str(at.partition), "offset": str(at.offset)}
    if event.key == "bad":
        ahead = int(time.time() * 1000) + 7_200_000
        return [
            KafkaRecord("TOPIC", event.key, event),
            KafkaRecord("TOPIC", event.key, event, timestamp=ahead),
        ]
    return [
        KafkaRecord("TOPIC", event.key, event, origin),
        KafkaRecord("TOPIC-second", event.key, str(event.n)),
    ]
"""
"""An event as it is in one topic, and its number in another."""


class Mirror:
    """An application that writes to another cluster.

    Args:
        make: makes the application.
        servers: the other cluster.
        options: of the application.
    """

    def __init__(self, make: Make, servers: str, **options: Any) -> None:
        name = f"mirror-{time.time_ns()}"
        sink = {"type": "kafka", "bootstrap_servers": servers}
        self.topics = [MirrorTopic(servers, f"{name}{end}", 3, {}) for end in ("", "-second")]
        self.app = make(
            handler=MIRROR.replace("TOPIC", name),
            tables={},
            outputs={},
            sinks={"mirror": sink},
            sink="mirror",
            **options,
        )

    def check(self, *, but: tuple[str, ...] = ()) -> None:
        """Both topics are what the log says: each event once, in the order of its key, from its own place."""
        log = [(m, e) for m, e in self.app.records("adds") if e.key not in but]
        expected = by_key((event.key, event.n) for _, event in log)
        first, second = (topic.records() for topic in self.topics)
        assert by_key(_event(record.value()) for record in first) == expected
        assert (
            by_key(((record.key() or b"").decode(), int(record.value() or b"")) for record in second)
            == expected
        )
        places = sorted(_place(record.headers()) for record in first)
        assert places == sorted((message.partition(), message.offset()) for message, _ in log)

    def close(self) -> None:
        """Let go of the clients."""
        for topic in self.topics:
            topic.close()


def _event(value: bytes | None) -> tuple[str, int]:
    found = json.loads(value or b"")
    return found["key"], found["n"]


def _place(headers: Any) -> tuple[int, int]:
    named = dict(headers)
    return int(named["partition"]), int(named["offset"])


@pytest.fixture
def mirror(application: Make, cluster: TestCluster) -> Iterator[Callable[..., Mirror]]:
    """Give a function that makes an application whose sink is the shared brokers."""
    made: list[Mirror] = []

    def make(**options: Any) -> Mirror:
        made.append(Mirror(application, cluster.bootstrap_servers, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_workers_that_are_killed_write_no_record_twice(mirror: Callable[..., Mirror]) -> None:
    """Two of them, one SIGKILLed again and again under load."""
    it = mirror(workers=2)
    kill_under_load(it.app, rate=400)
    it.check()


@pytest.mark.slow
def test_a_frozen_worker_that_wakes_writes_nothing(mirror: Callable[..., Mirror]) -> None:
    """Another owner has its shards meanwhile, and with them its transactional ids."""
    it = mirror()
    freeze_and_wake_under_load(it.app, rate=300)
    it.check()


@pytest.mark.slow
def test_a_record_that_the_other_cluster_refuses_is_a_dead_letter(mirror: Callable[..., Mirror]) -> None:
    """With its cause; nothing of it is there, and all others are, also behind those that make nothing."""
    it = mirror()
    good = some(50)
    nothing = [Added(key="nothing", n=n) for n in range(20)]
    it.app.publish(*good[:25], *nothing, Added(key="bad", n=1), *nothing, *good[25:], *nothing)
    with it.app.run() as run:
        run.until_drained()
        run.until(lambda: run.views[0].status.dead_letters == 1, 10, "the dead letter is counted")
        assert run.views[0].restarts == 0
    it.check(but=("bad", "nothing"))
    (letter,) = it.app.dead_letters()
    headers = dict(letter.headers() or ())
    assert letter.key() == b"bad"
    assert headers["__streams.errors.exception"] == b"holdfast.errors.SinkRefused"
    assert f"topic '{it.topics[0].name}' does not take it".encode() in (
        headers["__streams.errors.message"] or b""
    )


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_two_clusters_whose_brokers_and_workers_are_killed_hold_the_same(application: Make) -> None:
    """The other cluster's brokers one after the other, then all of them at once, and workers in between."""
    with EmbeddedCluster.temporary() as other:
        it = Mirror(application, other.bootstrap_servers)
        try:
            with it.app.run(workers=2) as run:
                run.until_running()
                with Load(it.app, rate=300):
                    for node in (1, 2, 3):
                        run.let_run(1.5)
                        other.kill(node)
                        run.let_run(1.5)
                        run.kill(node % 2)
                        run.let_run(1.5)
                        other.start_node(node)
                        other.wait_ready(90)
                    run.until_running(within=60)
                    run.let_run(1.0)
                    for node in (1, 2, 3):
                        other.kill(node)
                    wait_for_system(run, "mirror")
                    assert run.running() == PARTITIONS
                    for node in (1, 2, 3):
                        other.start_node(node)
                    other.wait_ready(90)
                    run.until(lambda: not any(v.status.waits_for for v in run.views), 120, "it goes on")
                    run.let_run(1.0)
                run.until_drained(120)
            it.check()
        finally:
            it.close()
