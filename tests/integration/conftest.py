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
