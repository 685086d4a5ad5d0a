"""The pytest plugin: brokers that may be broken, the application on them, faults and histories, as fixtures.

It is there as soon as Holdfast is installed with its extra `chaos`. Nothing is imported or started before a
test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from holdfast.chaos.kit.application import ApplicationUnderTest
    from holdfast.chaos.kit.chaos import Chaos
    from holdfast.chaos.kit.history import RecordedHistory
    from holdfast.chaos.lab.base import Lab

_TOPOLOGY = "holdfast_topology"
_CLUSTER, _NETWORK = "--holdfast-cluster", "--holdfast-network"
_CANDIDATES = 16
"""Candidates for leader tasks that a network of a session has room for; workers have the rest of it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, and the ini value that names the topology file."""
    group = parser.getgroup("holdfast")
    group.addoption(
        _CLUSTER,
        choices=("embedded", "containers"),
        default="embedded",
        help="where the brokers of `kafka_cluster` run: as processes, or in containers",
    )
    group.addoption(
        _NETWORK,
        choices=("plain", "isolated"),
        default="plain",
        help="whether embedded brokers are on a network that can be disturbed (needs root)",
    )
    parser.addini(_TOPOLOGY, "the topology file of the application under test", default="topology.yaml")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse options that exclude each other, before any test runs.

    Raises:
        UsageError: with what to give instead.
    """
    if config.getoption(_CLUSTER) == "containers" and config.getoption(_NETWORK) == "isolated":
        raise pytest.UsageError(
            f"{_NETWORK} isolated is for embedded brokers, not for {_CLUSTER} containers; give one of the "
            "two: of the faults of the network, brokers in containers have `network.disconnect`"
        )


@pytest.fixture(scope="session")
def kafka_cluster(pytestconfig: pytest.Config) -> Iterator[Lab]:
    """Give three real brokers of this test session, which tests may break."""
    from holdfast.chaos.lab.containers import ContainerLab
    from holdfast.chaos.lab.embedded import EmbeddedLab, LabSettings
    from holdfast.chaos.network.hosts import MOST
    from holdfast.chaos.workloads.application_parts import names_for_any

    if pytestconfig.getoption(_CLUSTER) == "containers":
        with ContainerLab(3) as containers:
            yield containers
        return
    isolated = pytestconfig.getoption(_NETWORK) == "isolated"
    # How many workers there will be, each test says later; who does not fit is one of the other clients.
    with EmbeddedLab(LabSettings(isolated=isolated, workers=names_for_any(MOST, _CANDIDATES))) as lab:
        yield lab


@pytest.fixture
def topology(
    kafka_cluster: Lab, pytestconfig: pytest.Config, tmp_path: Path
) -> Iterator[ApplicationUnderTest]:
    """Give the application of the topology file, its topics created; they are deleted after the test."""
    from holdfast.chaos.kit.application import ApplicationUnderTest

    file = pytestconfig.rootpath / str(pytestconfig.getini(_TOPOLOGY))
    application = ApplicationUnderTest(file, kafka_cluster, tmp_path / "holdfast")
    yield application
    application.delete()


@pytest.fixture
def chaos(request: pytest.FixtureRequest, tmp_path: Path) -> Chaos:
    """Give what breaks things: `with chaos.fault("broker.kill", "leader"):`, `chaos.run({...})`."""
    from holdfast.chaos.kit.chaos import Chaos

    def application() -> ApplicationUnderTest | None:
        return request.getfixturevalue("topology") if "topology" in request.fixturenames else None

    return Chaos(lambda: request.getfixturevalue("kafka_cluster"), tmp_path, application)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[RecordedHistory]:
    """Give a history to record what clients do, and to judge it: `history.verdict()`."""
    from holdfast.chaos.kit.history import RecordedHistory

    with RecordedHistory(tmp_path / "history") as recorder:
        yield recorder
