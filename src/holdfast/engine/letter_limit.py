"""When so many records are set aside that it is no longer about records.

A downstream that is broken in a way nobody thought of, or a producer with a new schema, fails every record.
Set aside one by one they would all leave their order, and nobody would notice before the topic is empty.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LetterLimit:
    """How many records of a shard may be set aside.

    Attributes:
        share: the fraction of the last `of` records; 1 has no limit.
        of: how many last records are looked at.
        in_a_row: how many with none in between that was handled; None has no limit.
    """

    share: float
    of: int
    in_a_row: int | None = None


class LetterCount:
    """Counts what a shard sets aside.

    Some records are judged by the shard itself, others when they have been handed on and counted as handled:
    a sink refuses them, or an async handler fails. Both are placed among the records of the shard by their
    number, from 1. Records that are done again, since their unit was not committed, have the same numbers.

    Args:
        limit: what is too much; None has no limit.
    """

    def __init__(self, limit: LetterLimit | None) -> None:
        self._limit = limit
        self._records = self._sealed = self._committed = 0
        self._judged = _Row()
        self._refused = _Row()
        # The number of each that was set aside, by what tells it when its unit is done again.
        self._set_aside: OrderedDict[tuple[str, int], int] = OrderedDict()

    def handled(self, records: int) -> None:
        """So many records were handled, or handed on."""
        self._records += records

    def seal(self) -> None:
        """All that were counted so far are committed together."""
        self._sealed = self._records

    def committed(self) -> None:
        """What was sealed does not come again."""
        self._committed = self._sealed

    def go_back(self) -> None:
        """What was not committed comes again. That a record was set aside is known all the same."""
        self._records = self._sealed = self._committed

    def why_not(self, topic: str, offset: int) -> str | None:
        """Count a record that is to be set aside, or say why it must not be.

        One that was counted before, and comes again, is not counted twice.
        """
        place = (topic, offset)
        if self._limit is None:
            return None
        is_known = place in self._set_aside
        why = None if is_known else self._count(self._limit, place, self._records + 1, self._judged)
        if why is None:
            self._records += 1
        return why

    def refused(self, topic: str, offset: int, *, behind: int) -> str | None:
        """Count a record that was set aside after it counted as handled, or say that it was one too many.

        Args:
            topic: of the record.
            offset: of the record.
            behind: how many offsets behind it are handled by now. They may be fewer records, as transactions
                end and compaction leaves gaps; two refused ones never have the same number.
        """
        place = (topic, offset)
        if self._limit is None or place in self._set_aside:
            return None
        return self._count(self._limit, place, self._refused.number(self._records - behind), self._refused)

    def _count(self, limit: LetterLimit, place: tuple[str, int], number: int, row: _Row) -> str | None:
        while self._set_aside and next(iter(self._set_aside.values())) <= number - limit.of:
            self._set_aside.popitem(last=False)
        if limit.share < 1 and len(self._set_aside) + 1 > limit.share * limit.of:
            return f"{len(self._set_aside):,} of the last {limit.of:,} records of this shard were set aside"
        if limit.in_a_row is not None and row.before(number) >= limit.in_a_row:
            return f"the last {row.before(number):,} records of this shard were set aside"
        row.add(number)
        self._set_aside[place] = number
        return None


class _Row:
    """The records that were set aside one after the other, up to the last one that was."""

    def __init__(self) -> None:
        self._last = 0
        self._length = 0

    def number(self, number: int) -> int:
        """A number for the next one: this, or the one after the last if that is larger."""
        return max(number, self._last + 1)

    def before(self, number: int) -> int:
        """How many there are with none in between before this one."""
        return self._length if number == self._last + 1 else 0

    def add(self, number: int) -> None:
        """It was set aside, too."""
        self._length = self.before(number) + 1
        self._last = number
