"""Results as people or programs read them: a table in a terminal, JSON lines anywhere else."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import typer
from rich.table import Table

from holdfast.cli.console import out

AsJson = typer.Option(
    False, "--json", help="One JSON object per line, also in a terminal; elsewhere that is the default."
)


def wants_json(asked: bool) -> bool:
    """Tell whether to print JSON lines."""
    return asked or not out.is_terminal


def print_json_lines(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON object per line."""
    for row in rows:
        sys.stdout.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def plain_table(*columns: str, numbers: Iterable[str] = ()) -> Table:
    """A table without lines.

    Args:
        columns: titles.
        numbers: those of them that are set to the right.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    right = set(numbers)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def print_table(table: Table) -> None:
    """Print a table; one that goes to a file or pipe is as wide as it needs to be."""
    if not out.is_terminal:
        table.width = out.measure(table, options=out.options.update(max_width=10_000)).maximum
    out.print(table, crop=False)
