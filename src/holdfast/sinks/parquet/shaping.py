"""From what handlers return to the rows of files; what does not fit is refused with its record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from holdfast.errors import SinkError, SinkRefused
from holdfast.schema import Event
from holdfast.sinks.keyed import RecordWrites
from holdfast.sinks.parquet.columns import Columns, columns_of, declared_columns
from holdfast.sinks.parquet.rows import Row, folder_of


@dataclass(frozen=True, slots=True)
class ParquetSettings:
    """How files are written.

    Attributes:
        name: the sink's name.
        path: the folder.
        partition_by: columns that are folders, outermost first.
        schema: the types of columns by name; with None those of the events' fields.
        compression: of the files.
    """

    name: str
    path: Path
    partition_by: Sequence[str] = ()
    schema: Mapping[str, str] | None = None
    compression: str = "zstd"


@dataclass(frozen=True, slots=True)
class Shaped:
    """What was made of some records of a partition.

    Attributes:
        tables: the rows of each file, with its folder.
        refused: why records are refused, by offset.
        offsets: the first and the last of the others.
    """

    tables: Sequence[tuple[str, pa.Table]] = ()
    refused: Mapping[int, str] = field(default_factory=dict)
    offsets: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class _Line:
    """A row with the file that it goes to."""

    columns: Columns
    folder: str
    row: list[Any]


class Shaper:
    """Makes rows for one sink.

    Args:
        settings: the sink's.

    Raises:
        SinkError: the schema has a type that there is not.
    """

    def __init__(self, settings: ParquetSettings) -> None:
        self._name = settings.name
        self._partition_by = settings.partition_by
        self._columns: dict[type, Columns] = {}
        self._declared: Columns | None = None
        if settings.schema is not None:
            try:
                self._declared = declared_columns(settings.schema, settings.partition_by)
            except ValueError as error:
                raise SinkError(f"sink {settings.name!r}: {error}") from error

    def shape(self, records: Sequence[RecordWrites]) -> Shaped:
        """Make rows of records.

        Raises:
            SinkError: nobody knows the types of their columns.
        """
        made: dict[int, list[_Line]] = {}
        refused: dict[int, str] = {}
        for record in records:
            offset = record.position.offset
            try:
                made[offset] = [self._line(write.value) for write in record.writes]
            except SinkRefused as error:
                refused[offset] = self._told(error)
        try:
            tables = _tables(made.values())
        except SinkRefused:
            for offset, lines in list(made.items()):
                try:
                    _tables([lines])
                except SinkRefused as error:
                    refused[offset] = self._told(error)
                    del made[offset]
            tables = _tables(made.values())
        return Shaped(tables, refused, (min(made, default=0), max(made, default=0)))

    def _told(self, error: SinkRefused) -> str:
        return f"sink {self._name!r} refuses it: {error}"

    def _line(self, value: Row | Event) -> _Line:
        row = value if isinstance(value, Row) else Row(value)
        values, columns = self._values(row)
        partition = row.partition
        if partition:
            if both := partition.keys() & values.keys():
                raise SinkRefused(f"{min(both)!r} is a value and a partition; readers make a column of each")
        elif self._partition_by:
            if missing := [name for name in self._partition_by if name not in values]:
                raise SinkRefused(f"it has no value for the partition {missing[0]!r}")
            partition = {name: values[name] for name in self._partition_by}
            values = {name: it for name, it in values.items() if name not in partition}
        return _Line(columns, folder_of(partition), columns.row(values))

    def _values(self, row: Row) -> tuple[Mapping[str, Any], Columns]:
        values = row.values
        if not isinstance(values, BaseModel):
            if self._declared is None:
                raise SinkError(
                    f"sink {self._name!r} does not know the types of a row that is a mapping; declare "
                    "its `schema`, or return events"
                )
            return values, self._declared
        return values.model_dump(by_alias=True), self._declared or self._of_class(type(values))

    def _of_class(self, model: type[BaseModel]) -> Columns:
        if model not in self._columns:
            self._columns[model] = columns_of(model, self._partition_by)
        return self._columns[model]


def _tables(records: Iterable[Sequence[_Line]]) -> list[tuple[str, pa.Table]]:
    """The rows of each file.

    Raises:
        SinkRefused: one does not fit.
    """
    files: dict[tuple[Columns, str], list[list[Any]]] = {}
    for lines in records:
        for line in lines:
            files.setdefault((line.columns, line.folder), []).append(line.row)
    return [(folder, columns.table(rows)) for (columns, folder), rows in files.items()]
