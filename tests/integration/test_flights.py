"""The flights example on real brokers: a whole year, every row as the batch computes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import TestCluster
from tests.integration.application import Application

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights"

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_year_of_flights_equals_the_batch(cluster: TestCluster, tmp_path: Path) -> None:
    """336,776 flights through six processors; tables and outputs agree with pandas row by row."""
    with Application(EXAMPLE / "topology.yaml", cluster.bootstrap_servers, tmp_path) as application:
        assert application.produce("nycflights13") == 336_776 + 26_115
        application.run(within=600)
        results = application.check()
    assert [(result.name, result.examples) for result in results if not result.ok] == []
    assert results[0].counts["flights"] == 336_776
