"""Finds the record of which the brokers refuse what came of it.

They refuse a whole unit. So its records come again in units of a sixteenth, and so on, until one that is
refused holds a single record. A refused unit takes much longer than one that is taken, since the client is
replaced: there are five of them at most, and as many good ones between them as it takes. Meanwhile only those
shards are read that were in the refused unit, until they are behind its end. Then units grow again.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from holdfast.engine.unit import SealedUnit
from holdfast.record import Position, TopicPartition

_ALL: Final = 4_096
"""Records in a unit from which on it takes as many as it likes."""

_PARTS: Final = 16
"""In how many units the records of a refused one come again, about."""


class Search:
    """Says how many records the next unit may have, and of which shards.

    Attributes:
        most: about how many records the next unit may have, while there is a search.
    """

    def __init__(self) -> None:
        self.most = _ALL
        self._suspects: dict[TopicPartition, int] = {}

    @property
    def is_on(self) -> bool:
        """Whether units are small, and each is to be committed before the next."""
        return self.most < _ALL

    def shards(self, running: Collection[int]) -> Collection[int] | None:
        """The shards to read; None for all of them.

        Args:
            running: the shards that can be read. Others are suspected no longer.
        """
        if not self._suspects:
            return None
        self._suspects = {place: end for place, end in self._suspects.items() if place.partition in running}
        return {place.partition for place in self._suspects} or None

    def refused(self, unit: SealedUnit) -> Position | None:
        """A unit was refused: its record if it has just one, else look for it in smaller ones."""
        self.most = min(max(unit.records // _PARTS, 1), _ALL // 2)
        begins = {place: at for part in unit.shards for place, at in part.begins.items()}
        self._suspects = {place: end for place, end in unit.positions.items() if end > begins.get(place, end)}
        return unit.last if unit.records == 1 else None

    def found(self) -> None:
        """The record is found: all shards go on, with units that are small at first. There may be more."""
        self._suspects = {}

    def committed(self, unit: SealedUnit) -> None:
        """A unit was taken: what it held is not suspected."""
        if not self.is_on:
            return
        for place, position in unit.positions.items():
            if position >= self._suspects.get(place, position + 1):
                del self._suspects[place]
        if unit.records and not self._suspects:
            self.most *= 2
