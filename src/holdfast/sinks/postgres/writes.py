"""What a handler returns for a PostgreSQL sink."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from pydantic import BaseModel

from holdfast.errors import HandlerError

_OF_TRANSACTIONS: Final = re.compile(
    r"(?:[\s;]|--[^\n]*|(?>/\*.*?\*/))*+"
    r"(COMMIT|ROLLBACK|ABORT|END|BEGIN|START\s+TRANSACTION|SAVEPOINT|RELEASE|PREPARE\s+TRANSACTION)\b",
    re.IGNORECASE | re.DOTALL,
)
"""The beginning of a statement about transactions, with the spaces and comments before it."""

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

    Raises:
        HandlerError: `table`, `row` or `key` is none.
    """

    table: str
    row: Row
    key: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if type(self.table) is not str:
            _require_text(self, "table", self.table)
        if type(self.row) is not dict and not isinstance(self.row, BaseModel):
            _require_row(self, self.row)
        if self.key is not None:
            _require_columns(self, self.key)


@dataclass(frozen=True, slots=True)
class Insert:
    """Insert a row.

    Attributes:
        table: the table's name.
        row: the values.

    Raises:
        HandlerError: `table` or `row` is none.
    """

    table: str
    row: Row

    def __post_init__(self) -> None:
        if type(self.table) is not str:
            _require_text(self, "table", self.table)
        if type(self.row) is not dict and not isinstance(self.row, BaseModel):
            _require_row(self, self.row)


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the rows that have these values; none need be there.

    Attributes:
        table: the table's name.
        key: the values by column.

    Raises:
        HandlerError: `table` or `key` is none.
    """

    table: str
    key: Mapping[str, Any]

    def __post_init__(self) -> None:
        if type(self.table) is not str:
            _require_text(self, "table", self.table)
        if type(self.key) is not dict and not isinstance(self.key, Mapping):
            raise HandlerError(f"Delete: `key` is a mapping of values by column, not {_shown(self.key)}")


@dataclass(frozen=True, slots=True)
class Execute:
    """Run a statement, in order with everything else.

    Attributes:
        statement: with `%s` for each parameter.
        parameters: the values.

    Raises:
        HandlerError: `statement` is no text, or one that ends or begins a transaction; or `parameters` are
            not several in their order.
    """

    statement: str
    parameters: Sequence[Any] = ()

    def __post_init__(self) -> None:
        if type(self.statement) is not str:
            _require_text(self, "statement", self.statement)
        if word := _transaction_word(self.statement):
            raise HandlerError(
                f"Execute: {word} is the sink's own to say: it writes a batch and its positions in one "
                "transaction, which no statement may end, begin or divide; leave it out"
            )
        if type(self.parameters) is not tuple and (
            isinstance(self.parameters, (str, bytes)) or not isinstance(self.parameters, Sequence)
        ):
            raise HandlerError(
                "Execute: `parameters` are a list or tuple of the values, one for each %s, not "
                f"{_shown(self.parameters)}"
            )


# What follows is asked only of what is not of the usual class: these are made for every record.


def _require_text(write: object, name: str, given: object) -> None:
    if not isinstance(given, str):
        raise HandlerError(f"{type(write).__name__}: `{name}` is text, not {_shown(given)}")


def _require_row(write: object, row: object) -> None:
    if not isinstance(row, Mapping):
        raise HandlerError(
            f"{type(write).__name__}: `row` is an event, or a mapping of values by column, not {_shown(row)}"
        )


def _require_columns(write: object, key: Any) -> None:
    if isinstance(key, (tuple, list)):
        for column in key:
            if not isinstance(column, str):
                break
        else:
            return
    one = key if isinstance(key, str) else "order_id"
    raise HandlerError(
        f'{type(write).__name__}: `key` is a tuple of columns, such as key=("{one}",), not {_shown(key)}'
    )


@lru_cache(maxsize=256)
def _transaction_word(statement: str) -> str:
    """With what a statement begins that is about transactions; else nothing."""
    found = _OF_TRANSACTIONS.match(statement)
    return " ".join(found[1].upper().split()) if found else ""


def _shown(value: object) -> str:
    return f"{type(value).__name__} {reprlib.repr(value)}" if value is not None else "None"


PostgresWrite = Upsert | Insert | Delete | Execute
