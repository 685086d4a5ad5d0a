"""Work on many records at once, and in the order of each key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from holdfast.record import Message, Position, Write

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RecordWrites:
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


def by_record(writes: Sequence[Write]) -> list[RecordWrites]:
    """The writes of each record, which stand together."""
    found: list[RecordWrites] = []
    for write in writes:
        if found and found[-1].message is write.message:
            found[-1].writes.append(write)
        else:
            found.append(RecordWrites(write.position, [write]))
    return found


@dataclass(slots=True)
class Worked(Generic[T]):
    """How far the work came.

    Attributes:
        results: of the records that were worked on.
        error: what ended it early; records that were under way then came to their end, too.
    """

    results: dict[Position, T] = field(default_factory=dict)
    error: Exception | None = None

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
        work: raises what should end it all.
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
                if worked.error is not None or time.monotonic() > until:
                    return
                try:
                    worked.results[record.position] = await work(record)
                except Exception as error:  # noqa: BLE001 - it is the caller's to judge
                    worked.end(error)
                    return

    await asyncio.gather(*(go_on() for _ in range(min(concurrent, len(chains)))))
    return worked
