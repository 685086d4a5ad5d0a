"""Which brokers a command talks to."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.cli.cluster_option import resolve_bootstrap_servers
from holdfast.errors import BrokersUnreachable
from holdfast.kafka.settings import SERVERS_VARIABLE
from holdfast.topology import Topology, load

TOPOLOGY = """\
app: shop
kafka: {bootstrap.servers: "topology:9092"}
topics:
  orders: {event: "schemas.orders:OrderPlaced", key: customer_id, partitions: 1}
"""


@pytest.fixture
def topology(tmp_path: Path) -> Topology:
    """Give a topology that names brokers."""
    file = tmp_path / "topology.yaml"
    file.write_text(TOPOLOGY)
    return load(file)


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the user's own cluster and variable."""
    monkeypatch.setenv("HOLDFAST_HOME", str(tmp_path / "home"))
    monkeypatch.delenv(SERVERS_VARIABLE, raising=False)


def test_the_option_wins(topology: Topology, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the variable and the topology."""
    monkeypatch.setenv(SERVERS_VARIABLE, "variable:9092")
    assert resolve_bootstrap_servers("option:9092", topology) == "option:9092"


def test_the_variable_wins_over_the_topology(topology: Topology, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a deployment can be pointed elsewhere without a change to its files."""
    monkeypatch.setenv(SERVERS_VARIABLE, "variable:9092")
    assert resolve_bootstrap_servers(None, topology) == "variable:9092"


def test_the_topology_is_next(topology: Topology) -> None:
    """When nobody else names brokers."""
    assert resolve_bootstrap_servers(None, topology) == "topology:9092"


def test_without_any_brokers_the_error_says_what_to_do() -> None:
    """Start a cluster or name one; all ways are listed."""
    with pytest.raises(
        BrokersUnreachable, match=r"holdfast up.*--bootstrap-servers.*HOLDFAST_BOOTSTRAP_SERVERS"
    ):
        resolve_bootstrap_servers(None)
