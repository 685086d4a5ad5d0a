"""What a handler returns for a PostgreSQL sink."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

Row = Mapping[str, Any] | BaseModel
"""Values by column. Of an event, its fields are the columns.

A value is what pydantic writes as JSON and PostgreSQL reads as the column's type: numbers, text, `Decimal`,
`datetime`, `UUID`, lists for arrays, mappings for `jsonb`.
"""


@dataclass(frozen=True, slots=True)
class Upsert:
    """Insert a row, or update the one with the same key. Columns that are not given keep their values.

    Attributes:
        table: the table's name, `schema.name` where it is not on the search path.
        row: the values.
        key: the columns of a unique constraint; the primary key unless given.
    """

    table: str
    row: Row
    key: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Insert:
    """Insert a row.

    Attributes:
        table: the table's name.
        row: the values.
    """

    table: str
    row: Row


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the rows that have these values; none need be there.

    Attributes:
        table: the table's name.
        key: the values by column.
    """

    table: str
    key: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Execute:
    """Run a statement, in order with everything else.

    Attributes:
        statement: with `%s` for each parameter.
        parameters: the values.
    """

    statement: str
    parameters: Sequence[Any] = ()


PostgresWrite = Upsert | Insert | Delete | Execute
