"""Fixtures of tests that run on real brokers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.local.cluster import EmbeddedCluster
from tests.conftest import TestCluster
from tests.support.application import Application
from tests.support.engine import Engine
from tests.support.proxy import ProxiedListeners, Proxy


@pytest.fixture
def application(
    cluster: TestCluster, tmp_path: Path, unique_name: Callable[[str], str]
) -> Callable[..., Application]:
    """Give a function that makes an application of the test's own, its topics created."""

    def make(**options: Any) -> Application:
        made = Application(tmp_path, cluster.bootstrap_servers, unique_name("app"), **options)
        made.provision()
        return made

    return make


@pytest.fixture(params=["classic", pytest.param("consumer", marks=pytest.mark.slow)])
def on_both_protocols(
    application: Callable[..., Application], request: pytest.FixtureRequest
) -> Callable[..., Application]:
    """Give a function like `application`, for a test that runs with each of Kafka's group protocols."""

    def make(**options: Any) -> Application:
        return application(kafka={"group.protocol": request.param}, **options)

    return make


@pytest.fixture(scope="session")
def proxied(cluster: TestCluster) -> Iterator[TestCluster]:
    """Give brokers that a proxy can stand before: the shared ones, or our own if those were given to us."""
    if cluster.routes:
        yield cluster
        return
    listeners = ProxiedListeners()
    with EmbeddedCluster.temporary(overrides=listeners) as embedded:
        yield TestCluster(embedded.bootstrap_servers, embedded, listeners.routes)


@pytest.fixture
def proxy(proxied: TestCluster) -> Iterator[Proxy]:
    """Give a proxy before the brokers of `proxied`."""
    with Proxy(proxied.routes) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Engine]:
    """Give a Docker engine, which the project's script installs and starts if there is none.

    It never skips: where that cannot be done, the tests fail with what is missing.
    """
    with Engine() as engine:
        yield engine
