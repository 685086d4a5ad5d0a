from __future__ import annotations

from pathlib import Path

from holdfast.local.housing import Housing
from holdfast.local.node import Node
from holdfast.local.settings import server_properties
from holdfast.local.spec import ClusterSpec, NodeSpec

TWO_NODES = ClusterSpec("id", (NodeSpec(1, 100, 200), NodeSpec(2, 101, 201)))


def read(text: str) -> dict[str, str]:
    """Read Java properties as we write them."""
    return dict(line.split("=", 1) for line in text.splitlines())


def test_a_node_knows_its_ports_and_all_controllers() -> None:
    """Clients and controllers meet on the loopback interface only."""
    settings = read(server_properties(TWO_NODES, TWO_NODES.nodes[1], Path("/data")))
    assert settings["node.id"] == "2"
    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:101,CONTROLLER://127.0.0.1:201"
    assert settings["controller.quorum.voters"] == "1@127.0.0.1:200,2@127.0.0.1:201"


def test_topics_are_never_created_by_accident() -> None:
    """A topic exists because it is declared."""
    settings = read(server_properties(TWO_NODES, TWO_NODES.nodes[0], Path("/data")))
    assert settings["auto.create.topics.enable"] == "false"


def test_each_node_is_a_rack_of_its_own_that_serves_its_copies() -> None:
    """So that the copy of each can be read by itself; clients that name no rack go on reading leaders."""
    racks = []
    for node in TWO_NODES.nodes:
        settings = read(server_properties(TWO_NODES, node, Path("/data")))
        assert settings["replica.selector.class"].endswith(".RackAwareReplicaSelector")
        racks.append(settings["broker.rack"])
    assert len(set(racks)) == len(racks)


def test_overrides_win() -> None:
    """Experiments may replace any setting and add others."""
    overrides = {"min.insync.replicas": "2", "log.flush.interval.messages": "1"}
    settings = read(server_properties(TWO_NODES, TWO_NODES.nodes[0], Path("/data"), overrides))
    assert settings["min.insync.replicas"] == "2"
    assert settings["log.flush.interval.messages"] == "1"


class Attic(Housing):
    """A place that asks for settings of its own."""

    def settings(self, spec: ClusterSpec, node: NodeSpec) -> dict[str, str]:  # noqa: ARG002
        return {"broker.rack": f"attic-{node.id}", "num.io.threads": "1"}


def test_overrides_may_differ_between_nodes_and_win_over_their_place(tmp_path: Path) -> None:
    """As they must where they name ports."""
    for spec in TWO_NODES.nodes:
        node = Node(tmp_path, spec)
        node.configure(TWO_NODES, lambda _, each: {"broker.rack": f"rack-{each.id}"}, Attic())
        settings = read(node.files.properties.read_text())
        assert settings["broker.rack"] == f"rack-{spec.id}"
        assert settings["num.io.threads"] == "1"


def test_a_backslash_in_a_path_survives_the_property_format() -> None:
    """Java would take it for the start of an escape."""
    settings = read(server_properties(TWO_NODES, TWO_NODES.nodes[0], Path("/da\\ta")))
    assert settings["log.dirs"] == "/da\\\\ta"
