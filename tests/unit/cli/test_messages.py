"""Sentences of the command line: right numbers, nothing untrue, one line each in a file."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from holdfast.checks import CheckResult
from holdfast.cli import cluster
from holdfast.cli.check_report import print_verdict
from holdfast.cli.console import PlainConsole
from holdfast.cli.main import build_app
from holdfast.cli.words import counted
from holdfast.local.cluster import EmbeddedCluster
from holdfast.local.status import NodeState, NodeStatus


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder."""
    monkeypatch.setenv("HOLDFAST_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 events"), (1, "1 event"), (2, "2 events"), (1_200, "1,200 events")]
)
def test_one_is_no_plural(number: int, expected: str) -> None:
    """And thousands have a comma."""
    assert counted(number, "event") == expected


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([True], "The invariant holds."),
        ([True, True], "All 2 invariants hold."),
        ([False], "1 of 1 invariant does not hold."),
        ([False, True, False], "2 of 3 invariants do not hold."),
    ],
)
def test_the_verdict_is_a_sentence(verdicts: list[bool], expected: str) -> None:
    """For one check as for many."""
    console = Console(file=io.StringIO(), width=100)
    holds = print_verdict(console, [CheckResult("c", ok, {}, 0, ()) for ok in verdicts])
    assert holds is all(verdicts)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == f"{expected}\n"


@pytest.mark.parametrize("terminal", [False, True])
def test_only_a_terminal_breaks_lines(terminal: bool) -> None:
    """A message in a file is searched for as a line."""
    console = PlainConsole(file=io.StringIO(), width=40, force_terminal=terminal, color_system=None)
    console.print("word " * 30)
    assert isinstance(console.file, io.StringIO)
    assert (console.file.getvalue().count("\n") > 1) is terminal


def test_down_without_a_cluster_says_only_that(home: Path) -> None:
    """No topics were deleted, and there are no logs."""
    done = CliRunner().invoke(build_app(), ["down"])
    assert (done.exit_code, done.output) == (0, "The embedded cluster was not running.\n")


def test_down_tells_of_topics_that_a_crash_left(home: Path) -> None:
    """They are deleted, as nobody asked to keep them."""
    from holdfast.local.startup import claim

    home.joinpath("cluster").mkdir(parents=True)
    folder = EmbeddedCluster().folder
    claim(folder, 1, keep=False)
    (folder / "nodes" / "1").mkdir(parents=True)
    first = CliRunner().invoke(build_app(), ["down"])
    assert "Its topics are deleted.\n" in first.output
    assert CliRunner().invoke(build_app(), ["down"]).stdout == "The embedded cluster was not running.\n"


def test_an_interrupted_up_says_what_is_left(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 130."""

    def interrupted(_: EmbeddedCluster) -> tuple[int, ...]:
        raise KeyboardInterrupt

    monkeypatch.setattr(EmbeddedCluster, "start", interrupted)
    done = CliRunner().invoke(build_app(), ["up"])
    assert done.exit_code == 130
    assert done.stderr == "interrupted: no broker left running.\n"


def test_status_is_json_where_there_is_no_terminal(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One object per node."""
    node = NodeStatus(1, NodeState.RUNNING, "127.0.0.1:9001", 77, 1_000, Path("/logs/1"))
    monkeypatch.setattr(cluster.EmbeddedCluster, "status", lambda _: (node,))
    done = CliRunner().invoke(build_app(), ["status"])
    assert json.loads(done.stdout) == {
        "node": 1,
        "state": "running",
        "address": "127.0.0.1:9001",
        "pid": 77,
        "memory": 1_000,
        "log": "/logs/1",
    }


def test_status_without_a_cluster_prints_no_json(home: Path) -> None:
    """And says so on standard error."""
    done = CliRunner().invoke(build_app(), ["status"])
    assert (done.exit_code, done.stdout) == (3, "")
    assert "not running" in done.stderr


def test_check_takes_a_folder(tmp_path: Path) -> None:
    """The topology in it is meant."""
    (tmp_path / "events.py").write_text(
        "from holdfast import Event\n\n\nclass Placed(Event):\n    order_id: str\n"
    )
    (tmp_path / "topology.yaml").write_text(
        "app: shop\ntopics: {orders: {event: events:Placed, key: order_id, partitions: 3}}\n"
    )
    done = CliRunner().invoke(build_app(), ["check", str(tmp_path)])
    assert done.exit_code == 0, (done.output, done.exception)
    assert "shop has 1 topic, 0 processors, 0 producers, 0 checks. No mistakes." in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["dlq", "list", "--limit", "x"], "'--limit' / '-n': expected a whole number, got \"x\""),
        (["dlq", "list", "--limit", "1.5"], 'expected a whole number, got "1.5"'),
        (["dlq", "list", "--limit", "0"], 'expected at least 1, got "0"'),
        (["dlq", "redrive", "--all", "--wait", "soon"], "'--wait': expected a number, got \"soon\""),
        (["dlq", "redrive", "--all", "--wait", "-1"], 'expected at least 0, got "-1"'),
        (["up", "--nodes", "10"], 'expected at most 9, got "10"'),
        (["publish", "orders", "--format", "xml"], "'xml' is not one of 'jsonl', 'csv'"),
    ],
)
def test_a_value_that_is_none_is_told_in_plain_words(arguments: list[str], told: str) -> None:
    """And not in those of the library that found out."""
    done = CliRunner().invoke(build_app(), arguments, env={"COLUMNS": "200"})
    assert done.exit_code == 2
    said = " ".join(done.output.replace("│", " ").split())
    assert told in said
    assert "Input should" not in said
    assert "Value error" not in said
