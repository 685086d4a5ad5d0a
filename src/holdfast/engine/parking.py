"""Parked keys: a record that failed holds up those of its key, and nobody else.

The record becomes a dead letter, and so does, in order, each later one of its key. They have numbers, from 1
on. What is redriven is handled only if it is its turn, so that the order of the key is kept whatever is
redriven when, and how often. When no number is left the key is free again.

What is parked is state of the shard, a table beside the handler's own: it is committed with the dead letters,
and restored and aborted as all state is. While no key is parked, the hot loop runs as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal, NamedTuple

from holdfast.engine.redriven import Parked, Redriven
from holdfast.engine.state import ShardTable
from holdfast.engine.step import Run, stopping
from holdfast.errors import KeyParked
from holdfast.record import Message, Position

log = logging.getLogger(__name__)


class ParkedKey(NamedTuple):
    """What is known of a parked key.

    Attributes:
        parking: what names this parking of the key.
        first: the record that failed first.
        next: the number that the next record of the key gets.
        due: the number of the record that is handled next, when it is redriven.
        gone: ranges of later numbers, both ends included, that need not be waited for.
    """

    parking: str
    first: str
    next: int
    due: int
    gone: tuple[tuple[int, int], ...] = ()

    def without(self, first: int, last: int) -> ParkedKey:
        """The same when the numbers from `first` to `last` need not be waited for any more."""
        if first > last or last >= self.next:
            return self
        due, left = self.due, []
        for low, high in _joined(self.gone, (first, last)):
            if low <= due:
                due = max(due, high + 1)
            else:
                left.append((low, high))
        return self._replace(due=due, gone=tuple(left))

    def is_settled(self, number: int) -> bool:
        """Whether a number was handled, or given up."""
        return number < self.due or any(low <= number <= high for low, high in self.gone)


def _joined(ranges: Sequence[tuple[int, int]], more: tuple[int, int]) -> list[tuple[int, int]]:
    """Ranges of numbers in order, with one more."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted([*ranges, more]):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(joined[-1][1], high)
        else:
            joined.append((low, high))
    return joined


class ParkedKeys:
    """The parked keys of one shard.

    Args:
        table: keeps them.
        fence: the fencing token of this ownership: it tells parkings apart that begin at the same record, as
            after a replay.
    """

    def __init__(self, table: ShardTable[ParkedKey], fence: int) -> None:
        self._table = table
        self._fence = fence
        self._rows = dict(table.items())

    def go_back(self) -> None:
        """What was not committed never happened."""
        self._rows = dict(self._table.items())

    def guard(self, run: Run) -> Run:
        """The loop for an input that stops at records of parked keys as if their handler had raised."""
        if not self._rows:
            return run
        rows = self._rows

        def why(message: Message) -> KeyParked | None:
            row = rows.get(message.key())  # type: ignore[arg-type]
            return KeyParked(row.first) if row is not None else None

        return stopping(run, why)

    def park(self, message: Message, origin: Position) -> Parked | None:
        """Note that a record is set aside, and its key parked; its number among those of the key.

        None for a record without a key: nothing follows it.

        Args:
            message: the record.
            origin: where it was read from at first.
        """
        key = message.key()
        if key is None:
            return None
        row = self._rows.get(key)
        held = self._of_this_parking(message)
        if held is not None:
            return held
        if row is None:
            place = Position(message.topic(), message.partition(), message.offset())
            row = ParkedKey(f"{place}/{self._fence}", str(origin), 1, 1)
        number = row.next
        self._keep(key, row._replace(next=number + 1))
        return Parked(row.parking, number)

    def judge(self, record: Redriven) -> Literal["handle", "leave out"] | KeyParked:
        """What is to be done with a redriven record; a `KeyParked` if it has to wait in the dead letters."""
        key = record.key()
        row = self._rows.get(key) if key is not None else None
        held = self._of_this_parking(record)
        if row is not None and held is not None and record.sent.after is not None:
            row = row.without(record.sent.after + 1, held.number - 1)
            self._keep(key or b"", row)
        if record.sent.is_discarded:
            if held is not None:
                self._settle(record, held)
            return "leave out"
        if row is None:
            return "handle"
        if held is None:
            # Of an earlier parking, or set aside under another policy: it comes after those that wait.
            return KeyParked(row.first)
        if row.is_settled(held.number):
            log.warning("%s, redriven, is left out: it was dealt with already", record.sent.letter)
            return "leave out"
        return "handle" if held.number == row.due else KeyParked(row.first)

    def settle(self, record: Redriven) -> None:
        """Note that a redriven record is done with: handled, or set aside for good."""
        held = self._of_this_parking(record)
        if held is not None:
            self._settle(record, held)

    def _settle(self, record: Redriven, held: Parked) -> None:
        key = record.key()
        if key is None:
            return
        row = self._rows[key].without(held.number, held.number)
        if row.due < row.next:
            self._keep(key, row)
            return
        log.info("the key of %s is parked no longer", row.first)
        del self._rows[key]
        self._table.overlay[key] = None

    def _of_this_parking(self, message: Message) -> Parked | None:
        """A redriven record's place among those that wait now; None if it has none."""
        parked = message.sent.parked if isinstance(message, Redriven) else None
        row = self._rows.get(message.key() or b"") if parked is not None else None
        return parked if row is not None and parked is not None and row.parking == parked.parking else None

    def _keep(self, key: bytes, row: ParkedKey) -> None:
        self._rows[key] = self._table.overlay[key] = row
