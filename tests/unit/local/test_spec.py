from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.errors import EmbeddedClusterError
from holdfast.local.spec import ClusterSpec, NodeSpec, load_spec, new_spec, save_spec


def test_a_spec_reads_back_as_written(tmp_path: Path) -> None:
    """Identity, ports and the wish to keep data survive."""
    spec = new_spec(3, keep=True)
    save_spec(tmp_path, spec)
    assert load_spec(tmp_path) == spec


def test_a_folder_without_a_cluster_has_no_spec(tmp_path: Path) -> None:
    """None, not an error: most commands go on."""
    assert load_spec(tmp_path) is None


@pytest.mark.parametrize(
    "text", ["", "{", "{}", "[]", '{"cluster_id": "x", "nodes": [{"id": 1}], "keep": false}']
)
def test_an_unreadable_spec_is_a_clear_error(tmp_path: Path, text: str) -> None:
    """The message names the file and the way out."""
    (tmp_path / "cluster.json").write_text(text)
    with pytest.raises(EmbeddedClusterError, match=r"cannot read .*cluster\.json.*delete"):
        load_spec(tmp_path)


@pytest.mark.parametrize(("nodes", "copies", "in_sync"), [(1, 1, 1), (2, 2, 1), (3, 3, 2), (5, 3, 2)])
def test_replication_fits_the_node_count(nodes: int, copies: int, in_sync: int) -> None:
    """Three copies where possible, and always one fewer in sync than there are, but at least one."""
    spec = new_spec(nodes, keep=False)
    assert (spec.replication, spec.min_insync) == (copies, in_sync)


def test_all_ports_of_a_new_cluster_differ() -> None:
    """Brokers and controllers share the machine."""
    spec = new_spec(5, keep=False)
    assert len({port for node in spec.nodes for port in (node.port, node.controller_port)}) == 10


def test_ports_are_exchanged_where_they_are_used() -> None:
    """Only the named ports change."""
    spec = ClusterSpec("id", (NodeSpec(1, 100, 200), NodeSpec(2, 101, 201)))
    changed = spec.with_ports({101: 300, 200: 301})
    assert changed.nodes == (NodeSpec(1, 100, 301), NodeSpec(2, 300, 201))
    assert changed.bootstrap_servers == "127.0.0.1:100,127.0.0.1:300"


def test_a_cluster_id_never_looks_like_an_option() -> None:
    """One in 64 random ids begins with a dash, which Kafka's tools take for an option."""
    assert not any(new_spec(1, keep=False).cluster_id.startswith("-") for _ in range(300))
