"""Tables in a narrow terminal: names stay whole, other columns give way."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from holdfast.cli.demo_report import ProcessorResult, processors_table
from holdfast.cli.groups import group_workers_table, groups_table
from holdfast.cli.rows import Column, fitting_table, print_table
from holdfast.cli.topology import topics_table

NAME = "temperature-measurements"


def terminal(width: int = 60) -> Console:
    """A terminal of so many columns that keeps what is printed."""
    return Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)


def lines(console: Console, table: Table) -> list[str]:
    """The table as it is printed."""
    print_table(table, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def topic(name: str, **values: Any) -> dict[str, Any]:
    """A row of `holdfast topics`."""
    row = {"topic": name, "exists": True, "partitions": 12, "replication": 3, "offsets": 1_234_567}
    return row | {"no_leader": [], "behind": [], "declared": True, "differs": [], "differences": []} | values


def group(**values: Any) -> dict[str, Any]:
    """A row of `holdfast groups`."""
    inputs = [{"topic": NAME, "committed": 1_234_567, "end": 1_234_600, "lag": 33}]
    workers = [
        {"client": f"{NAME}.vm-0", "host": "127.0.0.1", "instance": None, "partitions": ["t[0]", "t[1]"]}
    ]
    row = {"processor": "customer-spending", "state": "preparing_rebalancing", "lag": 33, "inputs": inputs}
    return row | {"workers": workers} | values


def test_topics_fit_sixty_columns_with_their_names_whole() -> None:
    """One line for each that is as it should be."""
    console = terminal()
    changelog = "shop.customer-spending.spending.changelog"
    shown = lines(console, topics_table(console, [topic(NAME), topic(changelog, offsets=None)]))
    assert [line.split()[0] for line in shown] == ["topic", NAME, changelog]
    assert all(line.rstrip().endswith(" ok") for line in shown[1:])


def test_what_is_wrong_with_a_topic_is_said_in_a_narrow_terminal_too() -> None:
    """All of it, in the words of the wide table."""
    console = terminal()
    rows = [topic("a" * 20, behind=[1], differs=["partitions"]), topic("b" * 20, declared=False)]
    shown = lines(console, topics_table(console, rows))
    said = " ".join(" ".join(shown).split())
    assert "behind: partition 1, differs: partitions" in said
    assert "not declared" in said


def test_topics_show_everything_where_there_is_room() -> None:
    """With the long titles."""
    console = terminal(120)
    shown = lines(console, topics_table(console, [topic(NAME, exists=True), topic("x", exists=False)]))
    assert shown[0].split() == ["topic", "partitions", "replication", "offsets", "replicas", "declaration"]
    assert "1,234,567" in shown[1]


def test_groups_fit_sixty_columns_with_their_names_whole() -> None:
    """Processor, input and lag stay."""
    console = terminal()
    shown = lines(console, groups_table(console, [group()]))
    assert shown[0].split() == ["processor", "input", "lag"]
    assert shown[1].split() == ["customer-spending", NAME, "33"]


def test_group_workers_fit_sixty_columns_with_their_names_whole() -> None:
    """And their shards."""
    console = terminal()
    assert lines(console, group_workers_table(console, [group()]))[1].split()[0] == f"{NAME}.vm-0"


def test_the_demos_processors_fit_sixty_columns_with_their_names_whole() -> None:
    """Records and dead letters stay."""
    console = terminal()
    result = ProcessorResult(NAME, 4, 12_345_678, 123_456, 1_234, 2)
    shown = lines(console, processors_table(console, [result]))
    assert len(shown) == 2
    assert shown[1].startswith(f"{NAME} ")
    assert "12,345,678" in shown[1]


def test_a_name_that_is_wider_than_the_terminal_is_broken_and_not_cut() -> None:
    """Every letter is there."""
    console = terminal(20)
    table = fitting_table(console, [Column("topic", name=True), Column("n", right=True)], [("x" * 45, "1")])
    assert "".join(lines(console, table)).count("x") == 45


@pytest.mark.parametrize("width", [20, 60])
def test_a_pipe_has_room_for_everything(width: int) -> None:
    """Whatever width is assumed for it."""
    console = Console(file=io.StringIO(), width=width)
    shown = lines(console, topics_table(console, [topic("x" * 100)]))
    assert len(shown) == 2
    assert "replication" in shown[0]
