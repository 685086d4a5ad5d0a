"""PostgreSQL as a sink: the rows and the inputs' positions in one transaction, so each record counts once.

    lock the positions -> leave out what is written already -> write the rest -> store the positions -> commit

Positions that are behind those on Kafka are a loss, which is told before anything is written.

Rows go in few statements. When the database refuses one, its rows are written in ever smaller parts until
those records are found that it refuses; they are left out, and all others are written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from holdfast.errors import SinkDown, SinkError, SinkRefused
from holdfast.record import Position, TopicPartition
from holdfast.sinks.base import Refusal, Sink, SinkBatch
from holdfast.sinks.keyed import RecordWrites, by_record
from holdfast.sinks.postgres.connection import BoundedConnection
from holdfast.sinks.postgres.dsn import dsn_problems
from holdfast.sinks.postgres.judge import BAD_VALUE, judge
from holdfast.sinks.postgres.plan import Columns, Step, plan, table_name
from holdfast.sinks.postgres.positions import PositionTable
from holdfast.sinks.postgres.writes import Delete, Execute, Insert, Upsert
from holdfast.sinks.stopping import StoppedError

_KEY: Final = """
    SELECT c.oid IS NOT NULL, array_agg(a.attname::text ORDER BY array_position(i.indkey::int2[], a.attnum))
    FROM (SELECT to_regclass(%s) AS oid) c
    LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
    LEFT JOIN pg_attribute a
        ON a.attrelid = c.oid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
    GROUP BY 1
"""
_CHECKED: Final = "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"
"""Check what is deferred to the end of a transaction now, and defer again."""


@dataclass(slots=True)
class _Result:
    """What came of a batch."""

    refusals: list[Refusal] = field(default_factory=list)

    def noted(self) -> dict[TopicPartition, dict[int, str]]:
        """Why records were refused, as the table of positions keeps it."""
        found: dict[TopicPartition, dict[int, str]] = {}
        for refusal in self.refusals:
            topic, partition, offset = refusal.position
            found.setdefault(TopicPartition(topic, partition), {})[offset] = str(refusal.error)
        return found


def _first(made: Sequence[RecordWrites], step: Step | None) -> Position:
    """The first record that a statement may have been made of; the first of all if it is not known."""
    found = (each.position for each in made if step and any(map(step.is_of, each.values)))
    return next(found, made[0].position)


class PostgresSink(Sink):
    """Writes to one database.

    Args:
        name: the sink's name.
        dsn: where the database is; libpq's form.
        positions: the table of positions.
        timeout: seconds that a batch may take.

    Raises:
        SinkError: `dsn` can never lead to a database.
    """

    accepts = (Upsert, Insert, Delete, Execute)
    keeps_positions = True
    can_stop = True

    def __init__(self, name: str, dsn: str, positions: str, timeout: float) -> None:
        for problem in dsn_problems(dsn):
            raise SinkError(f"sink {name!r}: its `dsn` cannot be used: {problem}")
        self._name = name
        self._connection = BoundedConnection(dsn, timeout, name)
        self._positions = PositionTable(positions, name)
        self._keys: dict[str, Columns] = {}

    def write(self, batch: SinkBatch) -> Sequence[Refusal]:
        """Write a batch in one transaction; see `Sink.write`."""
        try:
            with self._connection.used(self._begin) as connection:
                return self._write(connection, batch)
        except StoppedError as stopped:
            return stopped.refusals
        except psycopg.Error as error:
            raise judge(error, self._name) from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _begin(self, connection: psycopg.Connection) -> None:
        self._keys.clear()
        self._positions.create(connection)

    def _write(self, connection: psycopg.Connection, batch: SinkBatch) -> list[Refusal]:
        result = _Result()
        with self._connection.transaction(connection):
            before = self._positions.lock(connection, batch)
            new = []
            place, there = None, None
            for made in by_record(batch.writes):
                topic, partition, offset = made.position
                if there is None or place is None or partition != place.partition or topic != place.topic:
                    place = TopicPartition(topic, partition)
                    there = before[place]
                if offset >= there.position:
                    new.append(made)
                elif offset in there.refused:
                    # Kafka has no dead letter of it yet: the commit there had failed.
                    error = SinkRefused(there.refused[offset])
                    result.refusals.append(Refusal(made.position, error, is_noted=True))
            self._write_all(connection, new, result)
            if batch.stops_at_refusal and not all(each.is_noted for each in result.refusals):
                raise StoppedError(result.refusals)
            self._positions.store(connection, batch, before, result.noted())
        self._positions.tell_new(connection, batch, before)
        return result.refusals

    def _write_all(
        self, connection: psycopg.Connection, made: Sequence[RecordWrites], result: _Result
    ) -> None:
        """Write what was made of records, but for those that are refused."""
        if not made:
            return
        at: Step | None = None
        try:
            with connection.transaction():
                for step in self._steps(connection, made):
                    at = step
                    connection.execute(step.statement, step.parameters or None)  # type: ignore[arg-type]
                    at = None
                # What each statement may, the commit may not: it would be too late to know whose fault it is.
                connection.execute(_CHECKED)
        except (psycopg.Error, SinkRefused, *BAD_VALUE) as error:
            name = at.name if at else ""
            cause = error if isinstance(error, SinkRefused) else judge(error, self._name, name)
            if isinstance(cause, SinkDown):
                raise
            if not isinstance(cause, SinkRefused):
                raise judge(error, self._name, name, _first(made, at)) from error
            if len(made) == 1:
                result.refusals.append(Refusal(made[0].position, cause))
                return
            half = len(made) // 2
            self._write_all(connection, made[:half], result)
            self._write_all(connection, made[half:], result)

    def _steps(self, connection: psycopg.Connection, made: Sequence[RecordWrites]) -> Iterator[Step]:
        """The statements for records; those of a single one are written one by one, exactly as they came.

        Constraints between tables may allow that where they do not allow the merged order.
        """
        key_of = self._key_of(connection)
        values = [write.value for each in made for write in each.writes]
        for part in [values] if len(made) > 1 else [[value] for value in values]:
            yield from plan(part, key_of)

    def _key_of(self, connection: psycopg.Connection) -> Any:
        def key_of(table: str) -> Columns:
            if table not in self._keys:
                self._keys[table] = self._look_up(connection, table)
            return self._keys[table]

        return key_of

    def _look_up(self, connection: psycopg.Connection, table: str) -> Columns:
        row = connection.execute(_KEY, [table_name(table).as_string(connection)]).fetchone()
        if row is None or not row[0]:
            where = f"{connection.info.dbname!r} at {connection.info.host}:{connection.info.port}"
            raise SinkError(
                f"sink {self._name!r}: there is no table {table!r} in database {where}; create it first"
            )
        if row[1] in (None, [None]):
            raise SinkError(
                f"sink {self._name!r}: table {table!r} has no primary key; give Upsert the columns of a "
                "unique constraint: key=(...)"
            )
        return tuple(row[1])
