"""From single writes to few statements: rows of one table go in one.

Rows travel as one JSON parameter, which PostgreSQL turns into rows of the table's own type
(`json_populate_recordset`): no types have to be asked for, and one round trip writes thousands.

What is written is what the writes would have written one by one: of one key only the last state counts, and
what cannot be merged begins a new group. Only checks that look at other rows in between can tell. A row that
is refused is found by writing ever smaller parts; see `holdfast.sinks.postgres.sink`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

from psycopg import sql
from pydantic_core import PydanticSerializationError, to_json

from holdfast.errors import SinkRefused
from holdfast.sinks.postgres.writes import Delete, Execute, Insert, PostgresWrite, Row, Upsert

Columns = tuple[str, ...]
KeyOf = Callable[[str], Columns]
"""The columns of a table's primary key."""

_SHOWN: Final = 60
"""Letters of a statement that its name has."""


@dataclass(frozen=True, slots=True)
class Step:
    """One statement with its parameters.

    Attributes:
        statement: as the client takes it.
        parameters: for its placeholders.
        kind: the class of the writes that it was made of.
        table: where they go; empty for an `Execute`.
        key: the columns that name a row, if any do.
    """

    statement: sql.Composable | bytes
    parameters: tuple[Any, ...]
    kind: type[PostgresWrite]
    table: str = ""
    key: Columns = ()

    @property
    def name(self) -> str:
        """How an error calls it, such as `Upsert into "paid" with key (id)`."""
        if isinstance(self.statement, bytes):
            text = " ".join(self.statement.decode().split())
            return f'Execute "{text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."}"'
        where = f'{self.kind.__name__} {"from" if self.kind is Delete else "into"} "{self.table}"'
        return f"{where} with key ({', '.join(map(str, self.key))})" if self.key else where

    def is_of(self, write: PostgresWrite) -> bool:
        """Whether it may have been made of a write."""
        if type(write) is not self.kind:
            return False
        if isinstance(write, Execute):
            return write.statement.encode() == self.statement and len(write.parameters) == len(
                self.parameters
            )
        return write.table == self.table


def plan(writes: Iterable[PostgresWrite], key_of: KeyOf) -> list[Step]:
    """The statements for writes.

    Args:
        writes: in order.
        key_of: asked for the key of an `Upsert` that names none.

    Raises:
        SinkRefused: a value cannot be written at all.
    """
    steps: list[Step] = []
    groups: dict[str, _Group] = {}
    last: PostgresWrite | None = None
    for write in writes:
        if isinstance(write, Execute):
            steps += _flushed(groups)
            steps.append(Step(write.statement.encode(), tuple(write.parameters), Execute))
        else:
            if not _is_like(last, write):
                key = _key(write, key_of)
                if _must_come_after(groups, write, key):
                    steps += _flushed(groups)
                group = groups.get(write.table) or groups.setdefault(write.table, _Group(write.table, key))
            group.take(write)
        last = write
    return steps + _flushed(groups)


def _is_like(last: PostgresWrite | None, write: PostgresWrite) -> bool:
    """Whether a write goes where the one before it went, without another look: so nearly all of them do."""
    if type(write) is Insert:
        return type(last) is Insert and last.table == write.table
    return (
        type(write) is Upsert and type(last) is Upsert and last.table == write.table and last.key == write.key
    )


def _key(write: Upsert | Insert | Delete, key_of: KeyOf) -> Columns | None:
    if isinstance(write, Upsert):
        return write.key or key_of(write.table)
    return tuple(write.key) if isinstance(write, Delete) else None


def _must_come_after(
    groups: Mapping[str, _Group], write: Upsert | Insert | Delete, key: Columns | None
) -> bool:
    """Whether a write cannot join what is pending: it might mean something else there.

    A deletion cascades, and others wait for it: between tables it keeps its place.
    """
    group = groups.get(write.table)
    if group is not None and (group.key != key or group.must_precede(write)):
        return True
    others = [each for table, each in groups.items() if table != write.table]
    return bool(others) and (isinstance(write, Delete) or any(each.deletes for each in others))


def _flushed(groups: dict[str, _Group]) -> list[Step]:
    steps = [step for group in groups.values() for step in group.steps()]
    groups.clear()
    return steps


@dataclass(slots=True)
class _Group:
    """Writes to one table: inserts if there is no key, else the last state of each key."""

    table: str
    key: Columns | None
    inserts: list[Mapping[str, Any]] = field(default_factory=list)
    upserts: dict[object, dict[str, Any]] = field(default_factory=dict)
    deletes: dict[object, Mapping[str, Any]] = field(default_factory=dict)

    def must_precede(self, write: Upsert | Insert | Delete) -> bool:
        """Whether a deletion may be of a row that is written here under another spelling of its key.

        Deletions go first, which is right for rows of other keys. PostgreSQL may take for one key what
        differs here: 1 and "1", or two spellings of a text without regard to case. So the only row that may
        be written here is one of the very same spelling.
        """
        if not isinstance(write, Delete) or not self.upserts:
            return False
        return len(self.upserts) > 1 or self._name(write.key) not in self.upserts

    def take(self, write: Upsert | Insert | Delete) -> None:
        if isinstance(write, Insert):
            self.inserts.append(_values(write.table, write.row))
            return
        if isinstance(write, Delete):
            name = self._name(write.key)
            self.upserts.pop(name, None)
            self.deletes[name] = _values(write.table, write.key)
            return
        row = _values(write.table, write.row)
        name = self._name(row)
        # Columns that only an earlier one gives keep its values, as they would in the table.
        self.upserts[name] = {**self.upserts.get(name, {}), **row}

    def _name(self, row: Mapping[str, Any]) -> object:
        assert self.key is not None
        try:
            values = tuple([row[column] for column in self.key])
        except KeyError as error:
            raise SinkRefused(f"a row for table {self.table!r} lacks {error}, a column of its key") from None
        if None in values:
            # Never the same as another row's, for PostgreSQL.
            return object()
        # As it is written: Python takes 1 and True for the same.
        return _json(self.table, values)

    def steps(self) -> Iterator[Step]:
        table, key = self.table, self.key or ()
        if self.deletes:
            rows = _json(table, list(self.deletes.values()))
            yield Step(_delete(table, key), (rows,), Delete, table, key)
        # In their order: numbers that the database gives them follow it.
        for columns, run in groupby(self.inserts, tuple):
            yield Step(_insert(table, columns), (_json(table, list(run)),), Insert, table)
        for columns, alike in _by_columns(self.upserts.values()):
            yield Step(_upsert(table, columns, key), (_json(table, alike),), Upsert, table, key)


def _by_columns(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Columns, list[Mapping[str, Any]]]]:
    """Rows that give the same columns together, in the order in which each such set came first."""
    found: dict[Columns, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(row), []).append(row)
    yield from found.items()


def _values(table: str, row: Row) -> dict[str, Any]:
    values = row if type(row) is dict else dict(row)
    if not values:
        raise SinkRefused(f"a row for table {table!r} has no columns")
    if bytes in map(type, values.values()):
        # As JSON they would be text, which is another thing to a `bytea` column.
        return {
            name: f"\\x{value.hex()}" if type(value) is bytes else value for name, value in values.items()
        }
    return values


def _json(table: str, value: object) -> str:
    try:
        return to_json(value, inf_nan_mode="strings").decode()
    except (PydanticSerializationError, UnicodeError) as error:
        raise SinkRefused(f"a value for table {table!r} cannot be written as JSON: {error}") from error


def table_name(table: str) -> sql.Identifier:
    """A table's name, quoted."""
    return sql.Identifier(*table.split("."))


def _names(columns: Columns) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _rows(table: str) -> sql.Composed:
    return sql.SQL("json_populate_recordset(NULL::{}, %s::json)").format(table_name(table))


def _insert(table: str, columns: Columns) -> sql.Composed:
    return sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(
        table_name(table), _names(columns), _names(columns), _rows(table)
    )


def _upsert(table: str, columns: Columns, key: Columns) -> sql.Composed:
    others = [sql.Identifier(column) for column in columns if column not in key]
    sets = sql.SQL(", ").join(sql.SQL("{} = EXCLUDED.{}").format(it, it) for it in others)
    action = sql.SQL("UPDATE SET {}").format(sets) if others else sql.SQL("NOTHING")
    return sql.SQL("{} ON CONFLICT ({}) DO {}").format(_insert(table, columns), _names(key), action)


def _delete(table: str, key: Columns) -> sql.Composed:
    same = sql.SQL(" AND ").join(sql.SQL("t.{} = d.{}").format(*2 * (sql.Identifier(it),)) for it in key)
    return sql.SQL("DELETE FROM {} t USING {} d WHERE {}").format(table_name(table), _rows(table), same)
