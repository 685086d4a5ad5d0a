"""The columns of a file, and rows for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from holdfast.errors import SinkRefused
from holdfast.sinks.parquet.kinds import Kind, fields_of, kind_named

_UNFIT = (pa.ArrowException, ValueError, TypeError, OverflowError)
"""What Arrow raises for a value that is none of its type."""


@dataclass(frozen=True, eq=False)
class Columns:
    """Columns by name, in order. Each object of it stands for a schema of its own.

    Attributes:
        kinds: the columns.
    """

    kinds: Mapping[str, Kind]

    def row(self, values: Mapping[str, Any]) -> list[Any]:
        """Values for the columns, in their order; None where there is none.

        Raises:
            SinkRefused: a value is none of its column's type, or has no column.
        """
        if strange := values.keys() - self.kinds.keys():
            names = ", ".join(sorted(map(repr, strange)))
            raise SinkRefused(f"there is no column {names}; the columns are {', '.join(self.kinds)}")
        row = []
        for name, kind in self.kinds.items():
            value = values.get(name)
            try:
                row.append(None if value is None else kind.take(value))
            except ValueError as error:
                raise SinkRefused(f"column {name!r} ({kind.name}): {error}") from error
        return row

    def table(self, rows: Sequence[Sequence[Any]]) -> pa.Table:
        """The rows as Arrow has them.

        Raises:
            SinkRefused: a value does not fit its column.
        """
        arrays = []
        for index, (name, kind) in enumerate(self.kinds.items()):
            try:
                arrays.append(pa.array([row[index] for row in rows], type=kind.type))
            except _UNFIT as error:
                raise SinkRefused(f"column {name!r} ({kind.name}): {error}") from error
        return pa.Table.from_arrays(arrays, names=list(self.kinds))


def declared_columns(schema: Mapping[str, str], but: Sequence[str]) -> Columns:
    """The columns that topology.yaml names.

    Args:
        schema: the columns.
        but: those that are folders.
    """
    return Columns({name: kind_named(text) for name, text in schema.items() if name not in but})


def columns_of(model: type[BaseModel], but: Sequence[str]) -> Columns:
    """The columns of a class: its fields.

    Args:
        model: the class.
        but: those that are folders.
    """
    return Columns({name: kind for name, kind in fields_of(model).items() if name not in but})
