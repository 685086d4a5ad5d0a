"""When so many records are set aside that it is no longer about records.

A downstream that is broken in a way nobody thought of, or a producer with a new schema, fails every record.
Set aside one by one they would all leave their order, and nobody would notice before the topic is empty.
"""

from __future__ import annotations

from collections import deque
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

    Args:
        limit: what is too much; None has no limit.
    """

    def __init__(self, limit: LetterLimit | None) -> None:
        self._limit = limit
        self._records = 0
        self._in_a_row = 0
        # When each was set aside, in records; and which, for a unit that is done again.
        self._set_aside: deque[tuple[int, tuple[str, int]]] = deque()

    def handled(self, records: int) -> None:
        """So many records were handled."""
        if records:
            self._records += records
            self._in_a_row = 0

    def why_not(self, topic: str, offset: int) -> str | None:
        """Count a record that is to be set aside, or say why it must not be.

        One that was counted before, and comes again, is not counted twice.
        """
        limit, place = self._limit, (topic, offset)
        if limit is None or any(each == place for _, each in self._set_aside):
            return None
        while self._set_aside and self._set_aside[0][0] <= self._records - limit.of:
            self._set_aside.popleft()
        if limit.share < 1 and len(self._set_aside) + 1 > limit.share * limit.of:
            return f"{len(self._set_aside):,} of the last {limit.of:,} records of this shard were set aside"
        if limit.in_a_row is not None and self._in_a_row >= limit.in_a_row:
            return f"the last {self._in_a_row:,} records of this shard were set aside"
        self._records += 1
        self._in_a_row += 1
        self._set_aside.append((self._records, place))
        return None
