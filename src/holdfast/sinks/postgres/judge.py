"""What PostgreSQL's errors mean for a sink, by their SQLSTATE.

PostgreSQL documentation, appendix A: the first two characters are the class.
"""

from __future__ import annotations

import psycopg

from holdfast.errors import SinkDown, SinkError, SinkRefused

_REFUSED = ("21", "22", "23", "44", "P0")
"""Of the data: cardinality, data exception, integrity constraint, check option, raised by a trigger."""

_DECLARED = ("0A", "25001", "28", "2F", "38", "39", "3B", "3D", "3F", "42")
"""Of what was declared: a feature, a user, routines, a database, a schema, a name, a right."""

_WRONG_ADDRESS = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "permission denied for database",
)
"""What a server says to a connection that it will never take. There is no SQLSTATE with it; a server that
speaks another language than English counts as away, with its text."""


def judge(error: psycopg.Error, sink: str) -> SinkError:
    """Tell what to do about the error of a statement.

    Args:
        error: what the client raised.
        sink: the sink's name, for messages.

    Returns:
        `SinkRefused` for an error of the data, `SinkError` for one of the declaration, else `SinkDown`: the
        server is away, starting, full, read-only, or had to give up on us for another transaction.
    """
    state = error.sqlstate or ""
    text = _text(error)
    # Without a state it comes from the client: a value that it cannot send, or too few of them.
    of_client = not state and isinstance(error, (psycopg.DataError, psycopg.ProgrammingError))
    if of_client or state.startswith(_REFUSED):
        return SinkRefused(f"sink {sink!r} refuses it: {text}")
    if state.startswith(_DECLARED):
        return SinkError(f"sink {sink!r} cannot be written to: {text}")
    return SinkDown(f"sink {sink!r}: {text}")


def judge_connecting(error: psycopg.Error, sink: str) -> SinkError:
    """Tell what to do when no connection comes about.

    Returns:
        `SinkError` if it never will with this address, else `SinkDown`.
    """
    text = _text(error)
    if isinstance(error, psycopg.ProgrammingError) or any(it in text for it in _WRONG_ADDRESS):
        return SinkError(f"sink {sink!r} cannot be reached as declared (`dsn` in topology.yaml): {text}")
    return SinkDown(f"sink {sink!r}: {text}")


def _text(error: psycopg.Error) -> str:
    told = error.diag
    parts = [told.message_primary or " ".join(str(error).split()) or type(error).__name__]
    parts += [f"({part})" for part in (told.message_detail, told.message_hint) if part]
    return " ".join([*parts, f"[{error.sqlstate}]"] if error.sqlstate else parts)
