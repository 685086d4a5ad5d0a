"""Finding a broker in the process table, without a broker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from holdfast.local import node as node_module
from holdfast.local.jvm import BROKER_CLASS
from holdfast.local.node import Node, wait_until_gone
from holdfast.local.spec import NodeSpec

READY_THEN_WAIT = "import sys; print('ready', flush=True); sys.stdin.read()"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """Give a node whose folder exists."""
    node = Node(tmp_path, NodeSpec(1, 100, 200))
    node.files.home.mkdir(parents=True)
    return node


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start a process with these arguments that lives until its input closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", READY_THEN_WAIT, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.fixture
def stand_in(node: Node) -> Iterator[subprocess.Popen[str]]:
    """Give a process that runs with a broker's arguments."""
    with start(BROKER_CLASS, str(node.files.properties)) as process:
        yield process
        process.communicate()


def test_a_broker_is_found_without_a_pid_file(node: Node, stand_in: subprocess.Popen[str]) -> None:
    """As when `up` was killed before it could write one."""
    assert node.pid == stand_in.pid


def test_a_pid_file_that_names_another_program_is_not_believed(node: Node) -> None:
    """Pids are reused; the program that has this one now is never signalled."""
    with start("something", "else") as stranger:
        node.files.pid.write_text(str(stranger.pid))
        assert node.process() is None
        assert node.signal(15) is None  # type: ignore[arg-type]
        assert stranger.poll() is None
        stranger.communicate()


@pytest.mark.parametrize("content", ["", "no number", "-1", "999999999", "0"])
def test_a_damaged_pid_file_is_ignored(node: Node, stand_in: subprocess.Popen[str], content: str) -> None:
    """The process table is asked instead."""
    node.files.pid.write_text(content)
    assert node.pid == stand_in.pid


def test_a_program_that_only_reads_the_properties_is_no_broker(node: Node) -> None:
    """An editor or `tail` on the file is left alone."""
    with start(str(node.files.properties)) as reader:
        assert node.process() is None
        reader.communicate()


def test_a_node_of_another_cluster_is_not_ours(
    tmp_path: Path, node: Node, stand_in: subprocess.Popen[str]
) -> None:
    """Clusters in different folders do not see each other."""
    assert Node(tmp_path / "other", NodeSpec(1, 100, 200)).process() is None


def test_last_words_show_the_end_of_the_log_and_its_path(node: Node) -> None:
    """What a user needs when a start fails."""
    node.files.log.parent.mkdir()
    node.files.log.write_text("".join(f"line {number}\n" for number in range(1000)))
    words = node.last_words()
    assert "line 999" in words
    assert "line 500" not in words
    assert str(node.files.log) in words


def test_a_broker_with_the_pid_of_one_that_ended_is_not_taken_for_over(
    tmp_path: Path, stand_in: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pids are reused, so a child that ended long ago says nothing of the process that has its pid now."""
    with start("ended") as ended:
        ended.communicate()
    ended.pid = stand_in.pid
    monkeypatch.setitem(node_module._started, tmp_path / "an older cluster", ended)
    broker = psutil.Process(stand_in.pid)
    assert wait_until_gone([broker], 0.2) == [broker]
    stand_in.kill()
    assert wait_until_gone([broker], 10) == []
