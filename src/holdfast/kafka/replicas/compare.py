"""Digests of several replicas of one partition against each other.

Knows no client: it is fed what was read, and says which replica to read next. That is always the one
that is furthest behind, so that no more than a batch of each is waiting to be compared, however long the
partition is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

Digest = bytes


class Difference(NamedTuple):
    """The first offset at which a replica is unlike others.

    Attributes:
        offset: which one.
        unlike: a broker whose replica holds something else there.
        lacks: this replica has no record there, the other one has.
        extra: it is the other way round.
        disputed: no majority says what is right.
    """

    offset: int
    unlike: int
    lacks: bool = False
    extra: bool = False
    disputed: bool = False


@dataclass(slots=True)
class Copy:
    """What was read of one replica so far.

    Attributes:
        broker: whose replica it is.
        floor: the first offset that could be read from it: below, nothing can be said.
        position: everything before it was read.
        records: how many records it gave.
        accompanied: offsets of its range that were compared with at least one other replica.
        differing: at how many offsets it is unlike others.
        first: the first of these.
        ended: nothing more can be read from it.
        waiting: digests that are not compared yet.
    """

    broker: int
    floor: int
    position: int
    records: int = 0
    accompanied: int = 0
    differing: int = 0
    first: Difference | None = None
    ended: bool = False
    waiting: dict[int, Digest] = field(default_factory=dict)

    def take_below(self, bound: int) -> dict[int, Digest]:
        """Take what waits below an offset."""
        if self.position <= bound:
            taken, self.waiting = self.waiting, {}
            return taken
        taken = {offset: digest for offset, digest in self.waiting.items() if offset < bound}
        self.waiting = {offset: digest for offset, digest in self.waiting.items() if offset >= bound}
        return taken

    def is_unlike(self, difference: Difference) -> None:
        """Note that it differs from another replica."""
        self.differing += 1
        self.first = self.first or difference


class Comparison:
    """The replicas of one partition between two offsets.

    Args:
        begin: the first offset.
        end: the offset after the last one.
        brokers: whose replicas are read.
        gaps: offsets may be missing in one replica and not in another, since each broker compacts by itself.
    """

    def __init__(self, begin: int, end: int, brokers: Iterable[int], *, gaps: bool) -> None:
        self._end = end
        self._gaps = gaps
        self.position = begin
        """Everything before it was compared as far as it can be."""
        self.copies: dict[int, Copy] = {broker: Copy(broker, begin, begin) for broker in brokers}

    def next_broker(self) -> int | None:
        """Whose replica to read next; None when all of them were read."""
        unread = [it for it in self.copies.values() if not it.ended and it.position < self._end]
        return min(unread, key=lambda copy: copy.position).broker if unread else None

    def feed(self, broker: int, records: Iterable[tuple[int, Digest]], position: int) -> None:
        """Records of a replica, in order, and the offset up to which it was read by now."""
        copy = self.copies[broker]
        before = len(copy.waiting)
        copy.waiting.update((offset, digest) for offset, digest in records if offset < self._end)
        copy.records += len(copy.waiting) - before
        copy.position = max(copy.position, min(position, self._end))
        self._compare()

    def skip(self, broker: int, offset: int) -> None:
        """A replica cannot be read below an offset, which says nothing about what it holds there."""
        copy = self.copies[broker]
        copy.floor = max(copy.floor, min(offset, self._end))
        copy.position = max(copy.position, copy.floor)
        self._compare()

    def end(self, broker: int) -> None:
        """Nothing more can be read from a replica."""
        self.copies[broker].ended = True
        self._compare()

    def _compare(self) -> None:
        """Compare up to where every replica was read; one that ended, up to its end."""
        while True:
            reached = [
                it.position for it in self.copies.values() if not it.ended or it.position > self.position
            ]
            bound = min(reached, default=self._end)
            if bound <= self.position:
                return
            self._compare_below(bound)
            self.position = bound

    def _compare_below(self, bound: int) -> None:
        heard = {
            broker: copy.take_below(bound)
            for broker, copy in self.copies.items()
            if copy.position >= bound and copy.floor < bound
        }
        if len(heard) < 2:
            return
        floors = {broker: self.copies[broker].floor for broker in heard}
        for broker, floor in floors.items():
            company = min(other for it, other in floors.items() if it != broker)
            self.copies[broker].accompanied += max(0, bound - max(self.position, floor, company))
        if not _all_equal(heard.values()):
            for offset in sorted({offset for records in heard.values() for offset in records}):
                self._compare_at(offset, heard)

    def _compare_at(self, offset: int, heard: Mapping[int, Mapping[int, Digest]]) -> None:
        votes = {
            broker: records.get(offset)
            for broker, records in heard.items()
            if self.copies[broker].floor <= offset
            # Where each broker compacts by itself, an offset that is gone says nothing.
            and (offset in records or not self._gaps)
        }
        if len(set(votes.values())) < 2:
            return
        right = majority(votes.values())
        for broker, digest in votes.items():
            if right is None or digest != right.digest:
                unlike = next(it for it, other in votes.items() if other != digest)
                lacks, extra = digest is None, votes[unlike] is None
                found = Difference(offset, unlike, lacks=lacks, extra=extra, disputed=right is None)
                self.copies[broker].is_unlike(found)


class Majority(NamedTuple):
    """What more replicas hold than anything else; no record at all is something that they may hold too."""

    digest: Digest | None


def majority(votes: Collection[Digest | None]) -> Majority | None:
    """What most replicas hold; None if nothing is held by more of them than anything else."""
    counted = Counter(votes).most_common(2)
    if len(counted) > 1 and counted[0][1] == counted[1][1]:
        return None
    return Majority(counted[0][0])


def _all_equal(all_records: Collection[Mapping[int, Digest]]) -> bool:
    first, *others = all_records
    return all(records == first for records in others)
