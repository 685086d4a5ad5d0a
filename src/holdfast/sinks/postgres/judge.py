"""What PostgreSQL's errors mean for a sink, by their SQLSTATE.

PostgreSQL documentation, appendix A: the first two characters are the class.
"""

from __future__ import annotations

import re
from typing import Final

import psycopg

from holdfast.errors import SinkDown, SinkError, SinkRefused
from holdfast.record import Position

BAD_VALUE: Final = (ValueError, TypeError, AttributeError, ArithmeticError, LookupError)
"""What comes of a value that is of no class that is meant, or no UTF-8; only its own record is to blame."""

_DOWN = ("08", "25006", "25P03", "25P04", "26", "40", "53", "55006", "55P03", "57", "58", "HV00N")
"""Of the server's state: no connection, read-only, our own time limits, a lost session, a conflict with
another transaction, no room, in use, locked, shutting down, its disk."""

_REFUSED = ("21", "22", "23", "38", "39", "44", "54", "P0")
"""Of the data: cardinality, data exception, constraints, triggers in other languages, check option, a value
that is too large or too deep, raised by a trigger."""

_CLASSES = (
    *("00", "01", "02", "03", "08", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "20", "21", "22", "23", "24"),
    *("25", "26", "27", "28", "2B", "2D", "2F", "34", "38", "39", "3B", "3D", "3F", "40", "42", "44", "53"),
    *("54", "55", "57", "58", "72", "F0", "HV", "P0", "XX"),
)
"""All classes of PostgreSQL's own; another one was raised by a trigger or function of somebody's."""

_WRONG_ADDRESS = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "permission denied for database",
)
"""What a server says to a connection that it will never take. There is no SQLSTATE with it; a server that
speaks another language than English counts as away, with its text."""

_WRONG_OPTION = re.compile(
    r"invalid (port number|integer value|\w+ value)|could not match \d+|could not parse network address"
    r"|definition of service .* not found"
)
"""What the client says of an option that leads nowhere, whenever it is tried. Those of the `dsn` itself are
refused before; libpq takes others from variables and files."""

_NO_VALUE = "cannot adapt type"
"""How the client begins when it does not know how a parameter is written."""

_SEVERAL = "Multiple connection attempts failed"
"""How the client begins when it has tried several addresses: the reasons may differ."""

_CANCELLED: Final = "57014"
"""By the time limit of a statement, or by hand."""

_LATE: Final = (
    "the database took longer than the sink's `timeout`; it may have waited for somebody else's lock"
)

_NO_TRANSACTION: Final = ("25P01", "3B001")
"""There is none, or none of its savepoints."""

_ENDED: Final = "the sink's transaction was ended in the midst of it: an Execute must not end or begin one"


def judge(error: Exception, sink: str, write: str = "", first: Position | None = None) -> SinkError:
    """Tell what to do about the error of a statement.

    Args:
        error: what the client raised, or one of `BAD_VALUE`.
        sink: the sink's name, for messages.
        write: what was being written, for messages.
        first: the first record that it may have been for, likewise.

    Returns:
        `SinkDown` when the server is away, starting, full, read-only, or had to give up on us for another
        transaction; `SinkRefused` for an error of the data; else `SinkError`: of what was declared.
    """
    doing = f"{write}: " if write else ""
    if not isinstance(error, psycopg.Error):
        return SinkRefused(f"sink {sink!r} refuses it: {doing}{type(error).__name__}: {error}")
    state, text = error.sqlstate or "", doing + _text(error)
    since = f", first of all for {first}" if first else ""
    if not state:
        # It comes from the client: no connection, a value that it cannot send, or a statement that is wrong.
        if isinstance(error, psycopg.DataError) or str(error).startswith(_NO_VALUE):
            return SinkRefused(f"sink {sink!r} refuses it: {text}")
        if isinstance(error, psycopg.ProgrammingError):
            return SinkError(f"sink {sink!r} cannot be written to{since}: {text}")
        return SinkDown(f"sink {sink!r}: {text}")
    if state.startswith(_DOWN):
        return SinkDown(f"sink {sink!r}: {text}")
    if state.startswith(_REFUSED) or state[:2] not in _CLASSES:
        return SinkRefused(f"sink {sink!r} refuses it: {text}")
    return SinkError(f"sink {sink!r} cannot be written to{since}: {text}")


def judge_connecting(error: psycopg.Error, sink: str) -> SinkError:
    """Tell what to do when no connection comes about.

    Returns:
        `SinkError` if it never will with this address, else `SinkDown`.
    """
    text = _text(error)
    if _SEVERAL not in text and (isinstance(error, psycopg.ProgrammingError) or _WRONG_OPTION.search(text)):
        return SinkError(
            f"sink {sink!r} cannot be reached with the options of its `dsn`, of libpq's "
            f"variables (PGPORT, PGSSLMODE, ...) and files: {text}"
        )
    if _SEVERAL not in text and any(it in text for it in _WRONG_ADDRESS):
        return SinkError(f"sink {sink!r} cannot be reached as declared (its `dsn`): {text}")
    return SinkDown(f"sink {sink!r}: {text}")


def _text(error: psycopg.Error) -> str:
    told = error.diag
    primary = told.message_primary or " ".join(str(error).split()) or type(error).__name__
    state = error.sqlstate or ""
    names = [
        f'{kind} "{name}"'
        for kind, name in (("column", told.column_name), ("constraint", told.constraint_name))
        if name and f'"{name}"' not in primary
    ]
    # Somebody who cancels by hand has the same code.
    is_late = state == _CANCELLED and "user request" not in primary
    explained = _LATE if is_late else _ENDED if state in _NO_TRANSACTION else ""
    asides = (*names, told.message_detail, told.message_hint, explained)
    parts = [primary, *(f"({part})" for part in asides if part)]
    return " ".join([*parts, f"[{error.sqlstate}]"] if error.sqlstate else parts)
