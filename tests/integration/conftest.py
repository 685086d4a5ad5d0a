"""Fixtures of tests that run on real brokers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TestCluster
from tests.support.application import Application


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


@pytest.fixture(params=["classic", "consumer"])
def on_both_protocols(
    application: Callable[..., Application], request: pytest.FixtureRequest
) -> Callable[..., Application]:
    """Give a function like `application`, for a test that runs with each of Kafka's group protocols."""

    def make(**options: Any) -> Application:
        return application(kafka={"group.protocol": request.param}, **options)

    return make
