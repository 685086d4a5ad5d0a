"""The tables of a history without rows: what queries are tried on, and read by, before there is a history."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from holdfast.chaos.history.database import Bounds, Database
from holdfast.chaos.history.tables import COLUMNS, VIEWS
from holdfast.errors import HistoryError

_SMALL = Bounds(memory="200MB", threads=1)


@contextmanager
def blank_history() -> Iterator[Database]:
    """A database with all tables of a history, also those that are views of others, as empty tables."""
    with Database(_SMALL) as database:
        for table, columns in COLUMNS.items():
            declared = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
            database.run(f"CREATE TABLE {table} ({declared})")
        for name, query in VIEWS.items():
            database.run(f"CREATE TABLE {name} AS {query}")
        yield database


def tables_of(blank: Database, query: str) -> tuple[str, ...]:
    """The history's tables that a query reads, in their order, by DuckDB's own plan of it.

    (`get_table_names` of its client would refuse `USING`.)

    Raises:
        HistoryError: it is no query, or more than one, or it cannot be planned.
    """
    with blank.telling():
        statements = blank.connection.extract_statements(query)
    if (count := len(statements)) != 1:
        raise HistoryError(f"one query is expected, and it is {count} statements")
    # Optimized, a query of empty tables reads none.
    blank.run("PRAGMA disable_optimizer")
    [(_, plan)] = blank.rows(f"EXPLAIN (FORMAT json) {query}")
    found = {table for node in json.loads(plan) for table in _scanned(node)}
    return tuple(name for name in (*COLUMNS, *VIEWS) if name in found)


def _scanned(node: Mapping[str, Any]) -> Iterator[str]:
    """The tables that a part of a plan reads: of `"work".main.steps` the last part."""
    if table := node.get("extra_info", {}).get("Table"):
        yield table.rpartition(".")[2].strip('"')
    for child in node.get("children", ()):
        yield from _scanned(child)
