"""A refused unit's records come again in smaller ones until it is known which of them it is."""

from __future__ import annotations

import random

import pytest

from holdfast.engine.unit import SealedUnit, ShardChanges
from holdfast.record import Position, TopicPartition
from holdfast.runtime.search import Search

SHARDS = range(4)


def place(partition: int) -> TopicPartition:
    """A shard's input."""
    return TopicPartition("adds", partition)


class Log:
    """Records in four partitions, of which some are refused; a unit takes them as a worker does.

    Args:
        rng: in which order records are fetched.
        bad: the refused ones.
        ends: how many records each partition has.
    """

    def __init__(self, rng: random.Random, bad: set[Position], ends: int) -> None:
        self._rng = rng
        self.bad = bad
        self._ends = ends
        self.at = dict.fromkeys(SHARDS, 0)
        self.refused = self.taken = 0

    @property
    def is_done(self) -> bool:
        """Whether everything is handled."""
        return all(at == self._ends for at in self.at.values())

    def unit(self, search: Search, most: int) -> SealedUnit:
        """The next unit, of about `most` records."""
        allowed = search.shards(SHARDS)
        to = dict(self.at)
        last = None
        for partition in self._rng.sample(SHARDS, k=len(SHARDS)):
            if allowed is None or partition in allowed:
                left = most - sum(to[p] - self.at[p] for p in SHARDS)
                to[partition] = min(self.at[partition] + left, self._ends)
                if to[partition] > self.at[partition]:
                    last = Position("adds", partition, to[partition] - 1)
        parts = tuple(
            ShardChanges(p, {place(p): to[p]}, {}, {place(p): self.at[p]})
            for p in SHARDS
            if to[p] > self.at[p]
        )
        return SealedUnit([], parts, sum(to.values()) - sum(self.at.values()), 0, last=last)

    def is_refused(self, unit: SealedUnit) -> bool:
        """Whether a refused record is in it."""
        ends = unit.positions
        return any(self.at[b.partition] <= b.offset < ends.get(place(b.partition), 0) for b in self.bad)

    def end(self, unit: SealedUnit, search: Search) -> Position | None:
        """Commit a unit, or find out more about it."""
        if self.is_refused(unit):
            self.refused += 1
            return search.refused(unit)
        self.taken += 1
        search.committed(unit)
        self.at |= {p.partition: at for p, at in unit.positions.items()}
        return None


@pytest.mark.parametrize("seed", range(30))
def test_every_refused_record_is_found_and_no_other(seed: int) -> None:
    """However they lie, and in whatever order the shards' records come in."""
    rng = random.Random(seed)
    bad = {Position("adds", rng.randrange(4), rng.randrange(2_000)) for _ in range(rng.randrange(1, 9))}
    log, search, found = Log(rng, set(bad), 2_000), Search(), set()
    while not log.is_done:
        record = log.end(log.unit(search, search.most if search.is_on else 3_000), search)
        if record is not None:
            found.add(record)
            log.bad.discard(record)
            search.found()
    assert found == bad
    assert log.refused <= 8 * len(bad)
    assert log.taken < 60 * (len(bad) + 1)


def test_one_in_the_largest_unit_is_found_in_a_few_refusals() -> None:
    """Each costs a new client."""
    log, search = Log(random.Random(1), {Position("adds", 2, 12_345)}, 12_500), Search()
    unit = log.unit(search, 50_000)
    while log.end(unit, search) is None:
        unit = log.unit(search, search.most)
    assert log.refused <= 6
    assert log.taken <= 60


def test_only_the_shards_of_a_refused_unit_are_read_until_they_are_behind_its_end() -> None:
    """Others would only stand between us and the record."""
    search = Search()
    assert search.shards(SHARDS) is None
    parts = [ShardChanges(p, {place(p): 40}, {}, {place(p): 20 if p < 2 else 40}) for p in (0, 1, 2)]
    assert search.refused(SealedUnit([], tuple(parts), 40, 0)) is None
    assert (search.shards(SHARDS), search.most, search.is_on) == ({0, 1}, 2, True)
    search.committed(SealedUnit([], (ShardChanges(0, {place(0): 40}, {}),), 1, 0))
    assert search.shards(SHARDS) == {1}
    assert search.shards([0, 2, 3]) is None, "it went to another worker, or has stopped"
    search.committed(SealedUnit([], (ShardChanges(0, {place(0): 41}, {}),), 1, 0))
    assert search.most == 4


def test_units_grow_until_they_are_as_large_as_ever() -> None:
    """If nothing is refused."""
    search = Search()
    search.refused(SealedUnit([], (), 1, 0))
    for _ in range(20):
        search.committed(SealedUnit([], (), 1, 0))
    assert not search.is_on
