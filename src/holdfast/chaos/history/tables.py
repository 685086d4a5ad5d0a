"""The tables of a sealed history: what people and rules query.

    operations   op, process, action, began, ended, outcome, error, isolation
    steps        op, step, kind, log, key, value, offset
    marks        op, kind, log           kind: assigned | sought | rebalanced
    events       time, kind, data        faults, samples, notes
    faults       name, target, began, ended, evidence        a view of those events: whom it hit, such as
    "broker-1, broker-3"; `ended` is null if it was not undone; `evidence` is JSON
    inputs       topic, partition, offset, key, value                        what a stateful processor was
    given
    outputs      position, key, topic, partition, offset, state              what it made of the input at
    topic/partition/offset
    postings     position, account, transfer, amount, balance                what a bank did to its accounts

`op` counts the operations of a recording (those of the next recordings begin at 1,000,000,000, and so on):
the operations of one process are in its order, since a process records into one file. Times are ns. `value`
and `state` are JSON. `position` orders the outputs of one key, and the postings of one account.
"""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.errors import HistoryError

COLUMNS: Mapping[str, Mapping[str, str]] = {
    "operations": {
        "op": "BIGINT",
        "process": "VARCHAR",
        "action": "VARCHAR",
        "began": "BIGINT",
        "ended": "BIGINT",
        "outcome": "VARCHAR",
        "error": "VARCHAR",
        "isolation": "VARCHAR",
    },
    "steps": {
        "op": "BIGINT",
        "step": "INTEGER",
        "kind": "VARCHAR",
        "log": "VARCHAR",
        "key": "VARCHAR",
        "value": "BIGINT",
        "offset": "BIGINT",
    },
    "marks": {"op": "BIGINT", "kind": "VARCHAR", "log": "VARCHAR"},
    "events": {"time": "BIGINT", "kind": "VARCHAR", "data": "JSON"},
    "inputs": {
        "topic": "VARCHAR",
        "partition": "INTEGER",
        "offset": "BIGINT",
        "key": "VARCHAR",
        "value": "JSON",
    },
    "outputs": {
        "position": "BIGINT",
        "key": "VARCHAR",
        "topic": "VARCHAR",
        "partition": "INTEGER",
        "offset": "BIGINT",
        "state": "JSON",
    },
    "postings": {
        "position": "BIGINT",
        "account": "VARCHAR",
        "transfer": "VARCHAR",
        "amount": "BIGINT",
        "balance": "BIGINT",
    },
}
"""Each table's columns, with their SQL types."""

VIEWS: Mapping[str, str] = {
    "faults": """
        SELECT data->>'name' AS name, data->>'target' AS target, CAST(data->>'began' AS BIGINT) AS began,
               CAST(data->>'ended' AS BIGINT) AS ended, data->>'evidence' AS evidence
        FROM events WHERE kind = 'fault'
    """,
}
"""What is asked for like a table, and is made of one; with the query that makes it."""

ROWS = ("inputs", "outputs", "postings")
"""The tables that a recorder writes row by row."""


def checked_row(table: str, values: Mapping[str, object]) -> Mapping[str, object]:
    """The values, if they are a row of the table.

    Raises:
        HistoryError: there is no such table, or the columns are not its columns.
    """
    if table not in ROWS:
        raise HistoryError(f"a history has no rows in {table!r}, but in {', '.join(ROWS)}")
    if values.keys() != COLUMNS[table].keys():
        raise HistoryError(
            f"a row of {table} has the columns {', '.join(COLUMNS[table])}, not {', '.join(values)}"
        )
    return values
