"""Fixtures shared by all tests.

``cluster`` is the one set of real brokers of a test run: an embedded three-node cluster in a
temporary folder, started when the first test asks for it. ``HOLDFAST_TEST_BOOTSTRAP`` names
other brokers instead. The cluster ends with the run, also when the run is interrupted or killed.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from holdfast.kafka.settings import admin_config
from holdfast.local.cluster import EmbeddedCluster
from tests.support.postgres import PostgresServer
from tests.support.proxy import ProxiedListeners
from tests.support.redis import RedisServer, SentinelSetup


def pytest_configure() -> None:
    """Take SIGINT as usual, also where a script that runs in the background has it ignored.

    A process inherits that from its parent, and the commands that tests interrupt would not notice.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let what takes long come first, and the many short ones fill the time of whichever process is free.

    Files stay whole, and in their random order among their kind.
    """
    kinds = ("chaos", "integration")

    def turn(item: pytest.Item) -> int:
        return next((place for place, kind in enumerate(kinds) if kind in item.path.parts), len(kinds))

    items.sort(key=turn)


@dataclass(frozen=True)
class TestCluster:
    """The brokers that tests use.

    Attributes:
        bootstrap_servers: where to connect.
        embedded: the cluster if this run started it, for tests that look into it. Tests that
            kill brokers start their own: this one is shared.
        routes: where a proxy has to listen, and the brokers' ports behind it; see `ProxiedListeners`.
    """

    __test__ = False

    bootstrap_servers: str
    embedded: EmbeddedCluster | None = None
    routes: Mapping[int, int] = field(default_factory=dict)


@pytest.fixture(scope="session")
def cluster() -> Iterator[TestCluster]:
    """Give the shared brokers, starting them once for the session."""
    given = os.environ.get("HOLDFAST_TEST_BOOTSTRAP")
    if given:
        yield TestCluster(given)
        return
    listeners = ProxiedListeners()
    with EmbeddedCluster.temporary(overrides=listeners) as embedded:
        yield TestCluster(embedded.bootstrap_servers, embedded, listeners.routes)


@pytest.fixture(autouse=True)
def topics_end_with_their_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Delete what a test left on the shared brokers, if they are ours.

    A follower looks at each of its partitions whenever it fetches: hundreds of tests with dozens of
    partitions each slow the brokers down, and so whatever is tested last.
    """
    cluster = request.getfixturevalue("cluster") if "cluster" in request.fixturenames else None
    yield
    if cluster is None or cluster.embedded is None:
        return
    admin = AdminClient(admin_config(cluster.bootstrap_servers))
    names = [name for name in admin.list_topics(timeout=30).topics if not name.startswith("__")]
    for deleted in admin.delete_topics(names).values() if names else ():
        # One that vanished meanwhile is as good.
        with contextlib.suppress(KafkaException):
            deleted.result(30)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Give the shared PostgreSQL server, started once for the session."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Give the shared Redis server, started once for the session. Its keys are anybody's."""
    server = RedisServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def redis_sentinel() -> Iterator[SentinelSetup]:
    """Give the shared Redis behind Sentinel; whoever kills a part of it makes it whole again."""
    setup = SentinelSetup()
    try:
        setup.start()
        yield setup
    finally:
        setup.close()


@pytest.fixture
def unique_name(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Give a function that makes a name (of a topic, group or application) no other test uses."""
    test = re.sub(r"[^a-zA-Z0-9]+", "-", request.node.name).strip("-")[:60]
    run = uuid.uuid4().hex[:8]

    def name(label: str) -> str:
        return f"{label}.{test}.{run}"

    return name


@pytest.fixture
def topic_name(unique_name: Callable[[str], str]) -> str:
    """Give a topic name that no other test uses; the topic does not exist yet."""
    return unique_name("topic")
