"""Work on many records at once, in the order of each key, and on none of them twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from holdfast.errors import SinkSlow
from holdfast.record import Message, Position, Write
from holdfast.sinks.base import SinkBatch
from holdfast.sinks.loop import LoopThread
from holdfast.sinks.progress import Progress

T = TypeVar("T")


class RecordWrites(NamedTuple):
    """What the handler made of one record.

    Attributes:
        position: the record.
        writes: in their order.
    """

    position: Position
    writes: list[Write]

    @property
    def message(self) -> Message:
        """The record itself."""
        return self.writes[0].message

    @property
    def values(self) -> list[Any]:
        """What the handler returned for it."""
        return [write.value for write in self.writes]


def by_record(writes: Sequence[Write]) -> list[RecordWrites]:
    """The writes of each record, which stand together."""
    found: list[RecordWrites] = []
    last: Message | None = None
    position: Position | None = None
    new = tuple.__new__  # A named tuple's own constructor takes twice as long.
    for write in writes:
        message = write[0]
        # A record's writes have the same message, as a rule: to look at that costs least.
        if message is not last:
            last, before = message, position
            position = new(Position, (message.topic(), message.partition(), message.offset()))
            if position != before:
                found.append(new(RecordWrites, (position, [write])))
                continue
        found[-1].writes.append(write)
    return found


class NotDone(Exception):
    """The work on a record goes on when it comes again: there was not time enough for all of it."""


@dataclass(slots=True)
class Worked(Generic[T]):
    """How far the work came.

    Attributes:
        results: of the records that were worked on.
        error: what ended it early; records that were under way then came to their end, too.
        is_late: there was not time enough for all.
    """

    results: dict[Position, T] = field(default_factory=dict)
    error: Exception | None = None
    is_late: bool = False

    def end(self, error: Exception) -> None:
        """Begin no more; of several reasons the first counts."""
        self.error = self.error or error


async def work_by_key(
    records: Sequence[RecordWrites],
    work: Callable[[RecordWrites], Awaitable[T]],
    *,
    concurrent: int,
    until: float,
) -> Worked[T]:
    """Work on records: those of one key one after the other, others side by side.

    Records without a key are in no order.

    Args:
        records: in the order of each key.
        work: raises what should end it all, `NotDone` among that.
        concurrent: how many records are worked on at once.
        until: when no more is begun, on the monotonic clock.
    """
    chains: dict[object, list[RecordWrites]] = {}
    for record in records:
        # A key is the same one in all inputs of its shard.
        key = record.message.key()
        chains.setdefault(record.position if key is None else (record.position.partition, key), []).append(
            record
        )
    left = iter(chains.values())
    worked: Worked[T] = Worked()

    async def go_on() -> None:
        for chain in left:
            for record in chain:
                if worked.error is not None or worked.is_late or time.monotonic() > until:
                    return
                try:
                    worked.results[record.position] = await work(record)
                except NotDone:
                    worked.is_late = True
                    return
                except Exception as error:  # noqa: BLE001 - it is the caller's to judge
                    worked.end(error)
                    return

    await asyncio.gather(*(go_on() for _ in range(min(concurrent, len(chains)))))
    return worked


class KeyedWork(Generic[T]):
    """Works on the records of batches, one batch at a time, on an event loop in a thread of its own.

    What was done of a batch that has to come again is not done again; see `Progress`.

    Args:
        name: of whose work it is, for messages.
        concurrent: how many records are worked on at once.
        seconds: after which no more records of a batch are begun.
    """

    def __init__(self, name: str, concurrent: int, seconds: float) -> None:
        self._name = name
        self._concurrent = concurrent
        self._seconds = seconds
        self._loop = LoopThread(f"keyed-{name}")
        self._progress: Progress[T] = Progress()

    def run(self, batch: SinkBatch, work: Callable[[RecordWrites], Awaitable[T]]) -> list[T]:
        """Work on the records of a batch, and return what came of each, in their order.

        Raises:
            SinkSlow: there was not time enough for all; what was done counts when the batch comes again.
            Exception: what `work` raised first; likewise.
        """
        self._progress.begin(batch)
        records = by_record(batch.writes)
        left = [record for record in records if not self._progress.has(record.position)]
        until = time.monotonic() + self._seconds
        worked = self._loop.run(work_by_key(left, work, concurrent=self._concurrent, until=until))
        self._progress.note(worked.results)
        if worked.error is not None:
            raise worked.error
        if len(worked.results) < len(left):
            raise SinkSlow(
                f"{self._name}: {len(worked.results):,} of {len(left):,} records were done within "
                f"{self._seconds:g} s; the others follow in smaller batches",
                len(worked.results),
            )
        return [self._progress.result(record.position) for record in records]

    def close(self, *closing: Coroutine[Any, Any, None]) -> None:
        """Run what lets go of connections, and end the thread."""
        for each in closing:
            self._loop.run(each)
        self._loop.close()
