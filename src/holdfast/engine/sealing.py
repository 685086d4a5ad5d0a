"""A shard's state changes on their way to the changelog: encoded, and refused if it would not take them."""

from __future__ import annotations

from typing import Any

from holdfast.engine.ports import Changes
from holdfast.engine.positions import Positions
from holdfast.engine.processor_plan import ProcessorPlan
from holdfast.engine.state import ShardTable
from holdfast.engine.tables import ShardTables
from holdfast.errors import StateError

Rows = list[tuple[bytes, bytes | None]]


def seal_tables(tables: ShardTables, positions: Positions, plan: ProcessorPlan, partition: int) -> Changes:
    """Close the open overlays of a shard: the changes of each table that has some, encoded.

    Args:
        tables: the shard's tables.
        positions: the shard's positions, not sealed yet: they tell which records may be at fault.
        plan: what the processor's shards share.
        partition: the shard's number.

    Raises:
        StateError: a value is larger than the changelog accepts, or is not of its table's type. The message
            names the key, and the records among which is the one that set it: looking for it when it is set
            would cost every record.
    """
    changes = {}
    for table in tables:
        try:
            rows = _sealed(table, plan.max_bytes)
        except StateError as error:
            raise StateError(
                f"table {table.name!r} of {plan.name!r}, shard {partition}: {error}; "
                f"set by a record with this key, {_unsealed_records(positions, partition)}"
            ) from error
        if rows:
            changes[table.name] = rows
    return changes


def _sealed(table: ShardTable[Any], limit: int) -> Rows:
    rows = table.seal()
    table.sealed(_checked_size(rows, limit), len(rows))
    return rows


def _checked_size(rows: Rows, limit: int) -> int:
    """Bytes of all keys and values.

    Raises:
        StateError: one is too large.
    """
    total = 0
    for key, value in rows:
        if value is not None:
            size = len(key) + len(value)
            if size > limit:
                raise StateError(
                    f"key {key[:100]!r} and its value have {size:,} bytes, above the changelog's limit "
                    f"of {limit:,}; keep less under one key"
                )
            total += size
    return total


def _unsealed_records(positions: Positions, partition: int) -> str:
    """The records that were handled since the last seal, in words."""
    return " or ".join(
        f"of {span.topic}[{partition}] from offset {span.begin} to {span.end - 1}"
        for span in positions.unsealed
    )
