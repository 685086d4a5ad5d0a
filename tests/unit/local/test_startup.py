from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from holdfast.errors import EmbeddedClusterError
from holdfast.local import startup
from holdfast.local.housing import Housing
from holdfast.local.jvm import Kafka
from holdfast.local.ports import HOST, free_ports
from holdfast.local.progress import Silent
from holdfast.local.spec import ClusterSpec, NodeSpec, load_spec
from holdfast.local.startup import Startup, claim, stop_nodes


def test_a_full_disk_is_a_clear_error_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says how much is free, how much is needed, and what to do."""
    monkeypatch.setattr(startup, "MIN_FREE_BYTES", 10**18)
    spec = claim(tmp_path, 1, keep=False)
    with pytest.raises(EmbeddedClusterError, match=r"only \d+ MB are free at .*HOLDFAST_HOME"):
        Startup(tmp_path, Kafka(()), {}, Silent(), Housing()).run(spec, frozenset({1}))


def test_a_cluster_without_data_may_change_its_size(tmp_path: Path) -> None:
    """Nothing depends on the old one."""
    assert len(claim(tmp_path, 3, keep=False).nodes) == 3
    assert len(claim(tmp_path, 5, keep=False).nodes) == 5
    assert len(claim(tmp_path, None, keep=False).nodes) == 5


def test_a_cluster_with_data_may_not_change_its_size(tmp_path: Path) -> None:
    """The partitions' replicas live on the nodes that are there."""
    claim(tmp_path, 3, keep=False)
    (tmp_path / "nodes" / "2" / "data").mkdir(parents=True)
    (tmp_path / "nodes" / "2" / "data" / "meta.properties").write_text("")
    with pytest.raises(EmbeddedClusterError, match=r"has 3 nodes, not 1.*down --delete-data"):
        claim(tmp_path, 1, keep=False)


def test_the_wish_to_keep_data_is_remembered(tmp_path: Path) -> None:
    """A later start that does not repeat it must not put the data at risk."""
    claim(tmp_path, 1, keep=True)
    assert claim(tmp_path, 1, keep=False).keep


def test_leftovers_of_a_killed_down_are_removed(tmp_path: Path) -> None:
    """Data whose deletion was cut short does not fill the disk."""
    (tmp_path / ".deleted-1" / "1" / "data").mkdir(parents=True)
    claim(tmp_path, 1, keep=False)
    assert not (tmp_path / ".deleted-1").exists()


def test_a_controller_port_that_running_nodes_know_cannot_be_exchanged(tmp_path: Path) -> None:
    """The message names the port and the way out; a client port is exchanged without a word."""
    ports = free_ports(4)
    spec = ClusterSpec("id", (NodeSpec(1, ports[0], ports[1]), NodeSpec(2, ports[2], ports[3])))
    start = Startup(tmp_path, Kafka(()), {}, Silent(), Housing())
    with socket.create_server((HOST, ports[3])):
        with pytest.raises(EmbeddedClusterError, match=re.escape(f"port {ports[3]} of node 2 is taken")):
            start._settle_ports(spec, frozenset({2}))
        settled = start._settle_ports(spec, frozenset({1, 2}))
    assert settled.nodes[0] == spec.nodes[0]
    assert settled.nodes[1].port == ports[2]
    assert settled.nodes[1].controller_port not in ports
    assert load_spec(tmp_path) == settled


class Broker:
    """A process that hears SIGTERM, or does not."""

    def __init__(self, *, hears: bool) -> None:
        deaf = "" if hears else "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        command = [sys.executable, "-c", f"{deaf}print('ready', flush=True)\nimport time; time.sleep(60)"]
        self.started = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.started.stdout is not None
        assert self.started.stdout.readline() == b"ready\n"
        self._process = psutil.Process(self.started.pid)

    def signal(self, number: signal.Signals) -> psutil.Process:
        self.started.send_signal(number)
        return self._process


@pytest.mark.parametrize(("hears", "killed"), [((True,), False), ((False,), True), ((True, False), True)])
def test_a_stop_says_whether_it_came_to_a_kill(hears: tuple[bool, ...], killed: bool) -> None:
    nodes: Any = tuple(Broker(hears=each) for each in hears)
    assert stop_nodes(nodes, timeout=0.5) is killed
    for node, heard in zip(nodes, hears, strict=True):
        with node.started as ended:
            assert ended.wait() == -(signal.SIGTERM if heard else signal.SIGKILL)
