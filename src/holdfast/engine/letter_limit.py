"""When so many records are set aside that it is no longer about records.

A downstream that is broken in a way nobody thought of, or a producer with a new schema, fails every record.
Set aside one by one they would all leave their order, and nobody would notice before the topic is empty.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from holdfast.record import Message


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
        self._handed_on = _HandedOn()
        self._row = _Row()
        # The number of each that was set aside, by what tells it when its unit is done again.
        self._set_aside: OrderedDict[tuple[str, int], int] = OrderedDict()

    def handled(self, records: int) -> None:
        """So many records were handled, and nobody judges them any more."""
        self._records += records

    def handed_on(self, topic: str, messages: Sequence[Message]) -> None:
        """Records of an input, in their order, were handed on; some may be refused on the way."""
        if self._limit is not None and messages:
            self._handed_on.add(topic, messages, self._records + 1)
        self._records += len(messages)

    def seal(self) -> None:
        """All that were counted so far are committed together."""
        self._sealed = self._records

    def committed(self) -> None:
        """What was sealed does not come again; it may still be told what was refused of it."""
        if self._limit is not None:
            self._handed_on.keep(above=self._committed)
            self._row.keep(above=self._committed - (self._limit.in_a_row or 0))
        self._committed = self._sealed

    def go_back(self) -> None:
        """What was not committed comes again. That a record was set aside is known all the same."""
        self._records = self._sealed = self._committed
        self._handed_on.keep(up_to=self._committed)
        self._row.keep(up_to=self._committed)

    def why_not(self, topic: str, offset: int) -> str | None:
        """Count a record that is to be set aside, or say why it must not be.

        One that was counted before, and comes again, is not counted twice.
        """
        if self._limit is None:
            return None
        why = self._count(self._limit, (topic, offset), self._records + 1)
        if why is None:
            self._records += 1
        return why

    def number_of(self, topic: str, offset: int) -> int:
        """The number of a record that was handed on; 0 if it is not known here."""
        return self._handed_on.number(topic, offset) or 0

    def refused(self, topic: str, offset: int) -> str | None:
        """Count a record that was set aside after it was handed on, or say that it was one too many.

        Those of a unit are told in the order of their numbers: which of them are among the last records of
        the shard is counted from each.
        """
        if self._limit is None:
            return None
        number = self._handed_on.number(topic, offset)
        # Of another ownership of this shard, if there is none: its count has ended with it.
        return None if number is None else self._count(self._limit, (topic, offset), number)

    def _count(self, limit: LetterLimit, place: tuple[str, int], number: int) -> str | None:
        if place in self._set_aside:
            self._row.add(number)
            return None
        while self._set_aside and next(iter(self._set_aside.values())) <= number - limit.of:
            self._set_aside.popitem(last=False)
        if limit.share < 1 and len(self._set_aside) + 1 > limit.share * limit.of:
            return f"{len(self._set_aside):,} of the last {limit.of:,} records of this shard were set aside"
        if limit.in_a_row is not None and (row := self._row.around(number)) >= limit.in_a_row:
            return f"the last {row:,} records of this shard were set aside"
        self._row.add(number)
        self._set_aside[place] = number
        return None


class _Row:
    """Which records were set aside lately, by their numbers."""

    def __init__(self) -> None:
        self._numbers: set[int] = set()

    def add(self, number: int) -> None:
        """It was."""
        self._numbers.add(number)

    def around(self, number: int) -> int:
        """How many there are beside this one, before and after it, with none in between that was not."""
        first = last = number
        while first - 1 in self._numbers:
            first -= 1
        while last + 1 in self._numbers:
            last += 1
        return last - first

    def keep(self, *, above: int | None = None, up_to: int | None = None) -> None:
        """Forget all others."""
        if self._numbers:
            self._numbers = {it for it in self._numbers if _is_within(it, above, up_to)}


class _Stretch(NamedTuple):
    """Records of one input that were handed on one after the other.

    Attributes:
        offsets: theirs; a range where nothing is missing, so that most of them cost nothing.
        first: the number of the first.
    """

    offsets: Sequence[int]
    first: int


class _HandedOn:
    """The numbers of the records that were handed on. Offsets do not tell them, as these have gaps."""

    def __init__(self) -> None:
        self._stretches: dict[str, list[_Stretch]] = {}

    def add(self, topic: str, messages: Sequence[Message], first: int) -> None:
        """Records of an input were, beginning with a number."""
        begin, end = messages[0].offset(), messages[-1].offset() + 1
        offsets: Sequence[int] = range(begin, end)
        if len(offsets) != len(messages):
            offsets = array("q", [message.offset() for message in messages])
        self._stretches.setdefault(topic, []).append(_Stretch(offsets, first))

    def number(self, topic: str, offset: int) -> int | None:
        """The number of a record; None if it is not known here."""
        stretches = self._stretches.get(topic, [])
        at = bisect_right(stretches, offset, key=lambda it: it.offsets[0]) - 1
        if at < 0:
            return None
        offsets, first = stretches[at]
        place = bisect_left(offsets, offset)
        return first + place if place < len(offsets) and offsets[place] == offset else None

    def keep(self, *, above: int | None = None, up_to: int | None = None) -> None:
        """Forget all others. No stretch goes on beyond the unit that it began in."""
        for topic, stretches in self._stretches.items():
            self._stretches[topic] = [it for it in stretches if _is_within(it.first, above, up_to)]


def _is_within(number: int, above: int | None, up_to: int | None) -> bool:
    return (above is None or number > above) and (up_to is None or number <= up_to)
