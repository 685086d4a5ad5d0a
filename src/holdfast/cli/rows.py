"""Results as people or programs read them: a table in a terminal, JSON lines anywhere else."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Column as RichColumn
from rich.table import Table
from rich.text import Text

from holdfast.cli.console import out

AsJson = typer.Option(
    False, "--json", help="One JSON object per line, also in a terminal; elsewhere that is the default."
)

_UNLIMITED = 1_000_000

_BETWEEN = 2
"""Characters from one column to the next."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table that has to fit.

    Attributes:
        title: its title.
        short: its title where there is little room; the same unless given.
        right: numbers are set to the right.
        name: it holds names, or what else stays whole while there is any other way.
        drop: where there is still too little room, columns go in this order, empty ones first; 0 stays.
        least: it is cut to the room that there is, with an ellipsis, and to so many characters before any
            column goes; 0 for one that is not cut. One of a table may be so.
        most: where not everything fits, its cells are cut to so many characters, with an ellipsis; 0 for
            one that is not cut.
    """

    title: str
    short: str = ""
    right: bool = False
    name: bool = False
    drop: int = 0
    least: int = 0
    most: int = 0


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


def fitting_table(console: Console, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Table:
    """A table without lines that keeps names whole: others are cut, titles get short and columns go before.

    Args:
        console: what it has to fit; anywhere but in a terminal there is room for everything.
        columns: the columns.
        rows: a cell for each column, with markup.
    """
    room = console.width if console.is_terminal else _UNLIMITED
    if _width(console, _table(columns, rows, range(len(columns)), short=False, whole=True)) > room:
        rows = [[_cut(cell, column.most) for cell, column in zip(row, columns, strict=True)] for row in rows]
    chosen = list(range(len(columns)))
    empty = {i for i in chosen if not any(row[i] for row in rows)}
    leaving = sorted((i for i in chosen if columns[i].drop), key=lambda i: (i not in empty, columns[i].drop))
    table = _table(columns, rows, chosen, short=False)
    if _width(console, table) > room:
        table = _table(columns, rows, chosen, short=True)
    while leaving and _width(console, table) > room:
        chosen.remove(leaving.pop(0))
        table = _table(columns, rows, chosen, short=True)
    spare = room - _width(console, table)
    for column in table.columns:
        if column.max_width is not None:
            # All the room that the others leave, which may be less than it was to have.
            column.max_width = max(_widest(column) + spare, cell_len(str(column.header)))
    whole = [column for column in table.columns if column.no_wrap]
    if sum(_widest(column) + _BETWEEN for column in whole) - _BETWEEN > room:
        # Broken over two lines is better than cut off.
        for column in whole:
            column.no_wrap = column.max_width is not None
    return table


def _cut(cell: str, most: int) -> str:
    text = Text.from_markup(cell)
    if not most or text.cell_len <= most:
        return cell
    text.truncate(most, overflow="ellipsis")
    return text.markup


def _widest(column: RichColumn) -> int:
    """Characters of its longest cell or its title, as far as they may be shown."""
    widest = max(cell_len(Text.from_markup(str(cell)).plain) for cell in (column.header, *column.cells))
    return widest if column.max_width is None else min(widest, column.max_width)


def _table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    chosen: Sequence[int],
    *,
    short: bool,
    whole: bool = False,
) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for each in (columns[i] for i in chosen):
        title = (each.short or each.title) if short else each.title
        table.add_column(
            title,
            justify="right" if each.right else "left",
            overflow="ellipsis" if each.least else "fold",
            no_wrap=each.name or each.least > 0,
            max_width=None if whole else each.least or None,
        )
    for row in rows:
        table.add_row(*(row[i] for i in chosen))
    return table


def _width(console: Console, table: Table) -> int:
    """The width at which nothing is wrapped."""
    return console.measure(table, options=console.options.update(max_width=_UNLIMITED)).maximum


def print_table(table: Table, console: Console = out) -> None:
    """Print a table; one that goes to a file or pipe is as wide as it needs to be."""
    if not console.is_terminal:
        table.width = _width(console, table)
    console.print(table, crop=False)
