"""The positions of a consumer group, kept beside what was written, in the same transaction.

Each row is a partition of an input: everything below `position` is in the database. Rows are locked for the
whole transaction, so that of two owners of a shard one sees what the other has done: the one with the smaller
fencing token is refused, and what is there already is left out.

A position below the beginning of a batch means that the database has lost what it had taken: a standby that
lagged is the primary now, or a backup was restored. Rows and positions are one transaction, so the rows are
those of that position, and what comes again from there is exactly what is missing.

A partition that is not known begins where the batch does, and so does a topic that was deleted and created
again, of which its id tells. The records that were refused are noted until Kafka has their dead letters, that
is until a batch begins beyond them.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from psycopg import Connection, errors, sql
from pydantic_core import to_json

from holdfast.errors import SinkBehind, SinkFenced
from holdfast.record import TopicPartition
from holdfast.sinks.base import SinkBatch
from holdfast.sinks.postgres.plan import table_name

log = logging.getLogger(__name__)

_CREATE: Final = sql.SQL(
    """
    CREATE TABLE IF NOT EXISTS {} (
        consumer_group text NOT NULL,
        topic text NOT NULL,
        partition integer NOT NULL,
        topic_id text,
        position bigint NOT NULL DEFAULT 0,
        fencing_token bigint NOT NULL DEFAULT 0,
        refused jsonb NOT NULL DEFAULT '{{}}',
        written_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (consumer_group, topic, partition)
    )
    """
)
_LOCK: Final = sql.SQL(
    """
    SELECT topic, partition, topic_id, position, fencing_token, refused
    FROM {} p JOIN json_to_recordset(%s::json) AS w(topic text, partition integer) USING (topic, partition)
    WHERE consumer_group = %s ORDER BY topic, partition FOR UPDATE OF p
    """
)
_BEGIN: Final = sql.SQL(
    """
    INSERT INTO {} (consumer_group, topic, partition, position)
    SELECT %s, topic, partition, position
    FROM json_to_recordset(%s::json) AS w(topic text, partition integer, position bigint)
    ON CONFLICT DO NOTHING RETURNING topic, partition
    """
)
_STORE: Final = sql.SQL(
    """
    UPDATE {} p SET topic_id = w.topic_id, position = w.position, fencing_token = w.fencing_token,
        refused = w.refused, written_at = now()
    FROM json_to_recordset(%s::json) AS w(
        topic text, partition integer, topic_id text, position bigint, fencing_token bigint, refused jsonb)
    WHERE p.consumer_group = %s AND p.topic = w.topic AND p.partition = w.partition
    """
)


class Written(NamedTuple):
    """What the database has of a partition.

    Attributes:
        position: everything below this offset.
        refused: why it refused a record, by offset.
        is_new: whether it knew nothing of it.
    """

    position: int
    refused: Mapping[int, str]
    is_new: bool = False


class PositionTable:
    """The table of positions.

    Args:
        name: its name.
        sink: the sink's name, for messages.
    """

    def __init__(self, name: str, sink: str) -> None:
        self._table = table_name(name)
        self._name = name
        self._sink = sink

    def create(self, connection: Connection) -> None:
        """Create it if it is not there.

        Asked first: who may write to it need not have the right to create tables.

        Raises:
            psycopg.Error: it is not there, and may not be created.
        """
        found = connection.execute("SELECT to_regclass(%s)", [self._table.as_string(connection)]).fetchone()
        if found is None or found[0] is None:
            # Two workers may do it at the same moment, and IF NOT EXISTS does not keep them apart: the
            # error depends on how far the other one is. The type of the rows is there before the table.
            with contextlib.suppress(errors.UniqueViolation, errors.DuplicateTable, errors.DuplicateObject):
                connection.execute(_CREATE.format(self._table))

    def lock(self, connection: Connection, batch: SinkBatch) -> dict[TopicPartition, Written]:
        """Lock the rows of a batch's partitions until the transaction ends.

        Raises:
            SinkFenced: a newer owner has written to one of them.
            SinkBehind: the database has less of one of them than it had taken.
            psycopg.Error: the database fails.
        """
        places = to_json(
            [{**place._asdict(), "position": batch.begins.get(place, 0)} for place in batch.ends]
        ).decode()
        new: set[tuple[str, int]] = set()
        rows = connection.execute(_LOCK.format(self._table), [places, batch.group]).fetchall()
        if len(rows) < len(batch.ends):
            new.update(connection.execute(_BEGIN.format(self._table), [batch.group, places]).fetchall())
            rows = connection.execute(_LOCK.format(self._table), [places, batch.group]).fetchall()
        found = {TopicPartition(row[0], row[1]): self._written(row, batch, new) for row in rows}
        self._require_all(connection, batch, found)
        return found

    def _require_all(
        self, connection: Connection, batch: SinkBatch, found: Mapping[TopicPartition, Written]
    ) -> None:
        """Make sure that all is there that is committed on Kafka.

        Raises:
            SinkBehind: it is not.
        """
        begins = batch.begins
        behind = [place for place, there in found.items() if there.position < begins.get(place, 0)]
        if behind:
            lost = ", ".join(
                f"{place} from offset {found[place].position} to {begins[place] - 1}" for place in behind
            )
            raise SinkBehind(
                f"sink {self._sink!r}: {_server(connection)} has lost what it had taken of {lost} (a "
                "fail-over to a standby that was behind, or a restored backup); these records are handled "
                "again",
                {place: found[place].position for place in behind},
            )

    def _written(self, row: tuple[Any, ...], batch: SinkBatch, new: Collection[tuple[str, int]]) -> Written:
        topic, partition, topic_id, position, token, refused = row
        place = TopicPartition(topic, partition)
        # First, and whatever the topic: a later owner's token is larger also when the topic was made anew.
        if token > batch.fences.get(place, 0):
            raise SinkFenced(
                f"sink {self._sink!r}: {place} has been written by a newer owner (fencing token {token}, "
                f"ours is {batch.fences.get(place, 0)}); this worker begins anew"
            )
        present = batch.topic_ids.get(topic)
        if None not in (topic_id, present) and topic_id != present:
            return Written(batch.begins.get(place, 0), {})
        return Written(position, {int(offset): why for offset, why in refused.items()}, place in new)

    def store(
        self,
        connection: Connection,
        batch: SinkBatch,
        before: Mapping[TopicPartition, Written],
        refused: Mapping[TopicPartition, Mapping[int, str]],
    ) -> None:
        """Note that a batch is written.

        Raises:
            psycopg.Error: the database fails.
        """
        rows = [
            {
                "topic": place.topic,
                "partition": place.partition,
                "topic_id": batch.topic_ids.get(place.topic),
                # A batch may be behind: the last owner had come further before its commit on Kafka failed.
                "position": max(end, before[place].position),
                "fencing_token": batch.fences.get(place, 0),
                "refused": {
                    offset: why
                    for offset, why in {**before[place].refused, **refused.get(place, {})}.items()
                    if offset >= batch.begins.get(place, 0)
                },
            }
            for place, end in batch.ends.items()
        ]
        connection.execute(_STORE.format(self._table), [to_json(rows).decode(), batch.group])

    def tell_new(
        self, connection: Connection, batch: SinkBatch, before: Mapping[TopicPartition, Written]
    ) -> None:
        """Say of what the database knew nothing, though the group has been there for a while."""
        for place, there in before.items():
            # The first owner of a shard, and one at the start of its input, are new to every database.
            if there.is_new and there.position and batch.fences.get(place, 0) > 1:
                log.warning(
                    "sink %r: %s knew nothing of %s, which stands at offset %d for group %s: it is taken "
                    "for new. If it has lost its data, stop the workers and set the group back: `holdfast "
                    "replay`",
                    self._sink,
                    _server(connection),
                    place,
                    there.position,
                    batch.group,
                )


def _server(connection: Connection) -> str:
    """Which database it is: a name may lead to another server after a fail-over."""
    info = connection.info
    return f"{info.host}:{info.port}/{info.dbname}"
