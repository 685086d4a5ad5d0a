"""Fixtures for tests of the reference application."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.testing import TopologyTest
from holdfast.topology import Topology, load

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def topology() -> Topology:
    """The reference application's declaration."""
    return load(ROOT / "topology.yaml")


@pytest.fixture
def shop(topology: Topology) -> TopologyTest:
    """The reference application in memory."""
    return TopologyTest(topology)
