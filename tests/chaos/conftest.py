"""Brokers of their own for tests that kill brokers, and applications on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.local.cluster import EmbeddedCluster
from tests.support.application import Application


@pytest.fixture(scope="package")
def brokers() -> Iterator[EmbeddedCluster]:
    """Three brokers that nobody else uses."""
    with EmbeddedCluster.temporary() as cluster:
        yield cluster


@pytest.fixture
def application(
    brokers: EmbeddedCluster, tmp_path: Path, unique_name: Callable[[str], str]
) -> Callable[..., Application]:
    """Give a function that makes an application of the test's own, its topics created."""

    def make(**options: Any) -> Application:
        made = Application(tmp_path, brokers.bootstrap_servers, unique_name("app"), **options)
        made.provision()
        return made

    return make
