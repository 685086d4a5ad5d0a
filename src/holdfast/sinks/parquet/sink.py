"""Parquet files as a sink: each record in one file, whatever comes again and whoever writes.

    newest entry of the partition's log -> leave out what is there -> rows into parts -> entry -> names

The rows of a batch are in a file for each partition, folder and schema. See `holdfast.sinks.parquet.log` for
how a file comes to be seen by readers.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from holdfast.errors import SinkFenced, SinkRefused
from holdfast.record import Position, TopicPartition
from holdfast.schema import Event
from holdfast.sinks.base import Refusal, Sink, SinkBatch
from holdfast.sinks.keyed import RecordWrites, by_record
from holdfast.sinks.parquet.judge import judge
from holdfast.sinks.parquet.log import Entry, PartitionLog
from holdfast.sinks.parquet.rows import Row
from holdfast.sinks.parquet.shaping import ParquetSettings, Shaped, Shaper

_LONGEST: Final = 60
"""Characters of a group's or a topic's name in the name of a file, which may have 255."""


class ParquetSink(Sink):
    """Writes files into one folder.

    Args:
        settings: how.

    Raises:
        SinkError: the schema has a type that there is not.
    """

    accepts = (Row, Event)
    can_stop = True

    def __init__(self, settings: ParquetSettings) -> None:
        self._settings = settings
        self._shaper = Shaper(settings)
        self._logs: dict[tuple[str, TopicPartition], PartitionLog] = {}

    def write(self, batch: SinkBatch) -> Sequence[Refusal]:
        """Write a batch, one commit for each partition; see `Sink.write`."""
        root = self._settings.path
        try:
            if not root.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, "there is no such folder", str(root))
            return self._write(batch)
        except OSError as error:
            self._logs.clear()
            raise judge(error, self._settings.name, str(root)) from error

    def _write(self, batch: SinkBatch) -> list[Refusal]:
        records: dict[TopicPartition, list[RecordWrites]] = {place: [] for place in batch.ends}
        for record in by_record(batch.writes):
            records[TopicPartition(*record.position[:2])].append(record)
        for place in records:  # before anything is written of the others
            self._newest(batch, place)
        return [refusal for place, made in records.items() for refusal in self._commit(batch, place, made)]

    def _log(self, batch: SinkBatch, place: TopicPartition) -> PartitionLog:
        key = batch.group, place
        if key not in self._logs:
            self._logs[key] = PartitionLog(self._settings.path, batch.group, place)
        return self._logs[key]

    def _newest(self, batch: SinkBatch, place: TopicPartition) -> Entry:
        """What is written of a partition.

        Raises:
            SinkFenced: by a newer owner.
        """
        newest, token = self._log(batch, place).newest(), batch.fences.get(place, 0)
        if newest.token > token:
            raise SinkFenced(
                f"sink {self._settings.name!r}: {place} has been written by a newer owner (fencing token "
                f"{newest.token}, ours is {token}); this worker begins anew"
            )
        return newest

    def _commit(self, batch: SinkBatch, place: TopicPartition, records: list[RecordWrites]) -> list[Refusal]:
        """Write what is not there of a partition's records, and return those that are refused."""
        log, topic_id = self._log(batch, place), batch.topic_ids.get(place.topic)
        while True:
            newest = self._newest(batch, place)
            there = newest
            if None not in (newest.topic_id, topic_id) and newest.topic_id != topic_id:
                there = Entry(topic_id=topic_id)
            shaped = self._shaper.shape([it for it in records if it.position.offset >= there.position])
            if batch.stops_at_refusal and shaped.refused:
                return [_refusal(place, at, why) for at, why in shaped.refused.items()]
            begin = batch.begins.get(place, 0)
            entry = Entry(
                number=newest.number + 1,
                # A batch may be behind: the last owner had come further before its commit on Kafka failed.
                position=max(batch.ends[place], there.position),
                token=batch.fences.get(place, 0),
                topic_id=topic_id,
                refused={at: it for at, it in {**there.refused, **shaped.refused}.items() if at >= begin},
            )
            is_known = (entry.position, entry.token) == (newest.position, newest.token) and there is newest
            if is_known or log.append(entry, self._files(batch, place, shaped)):
                offsets = {record.position.offset for record in records}
                return [
                    _refusal(place, at, why, is_noted=at in there.refused)
                    for at, why in sorted(entry.refused.items())
                    if at in offsets
                ]

    def _files(self, batch: SinkBatch, place: TopicPartition, shaped: Shaped) -> list[tuple[str, memoryview]]:
        """The files of some rows: the names that readers will see, and what is in them."""
        files = []
        for index, (folder, table) in enumerate(shaped.tables):
            stream = pa.BufferOutputStream()
            pq.write_table(table, stream, compression=self._settings.compression)
            name = _name(batch, place, shaped.offsets, index)
            files.append((f"{folder}/{name}" if folder else name, memoryview(stream.getvalue())))
        return files

    def close(self) -> None:
        """Nothing is open between batches."""
        self._logs.clear()


def _name(batch: SinkBatch, place: TopicPartition, offsets: tuple[int, int], index: int) -> str:
    """A name that says where the rows come from, the same for the same batch, and no other's.

    Names sort by offset. The topic's id is in it, as another topic of that name has the same offsets.
    """
    topic_id = batch.topic_ids.get(place.topic)
    parts = [_short(batch.group), _short(place.topic), str(place.partition)]
    parts += [_short(topic_id)] if topic_id else []
    return f"{'.'.join(parts)}.{offsets[0]:012}-{offsets[1]:012}.{index}.parquet"


def _short(name: str) -> str:
    if len(name) <= _LONGEST:
        return name
    return f"{name[:40]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _refusal(place: TopicPartition, offset: int, why: str, *, is_noted: bool = False) -> Refusal:
    return Refusal(Position(*place, offset), SinkRefused(why), is_noted=is_noted)
