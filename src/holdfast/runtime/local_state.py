"""The state that this machine keeps of a processor's shards: finding it, comparing it, throwing it away.

It is a cache of the changelogs (ADR 4): a worker that finds none restores all of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.errors import CorruptStore, SlotTaken, StateError
from holdfast.kafka.scan import LogScanner
from holdfast.record import TopicPartition
from holdfast.runtime.folded import folded
from holdfast.runtime.opening import MAX_AGE_S
from holdfast.runtime.slot import SlotLock
from holdfast.runtime.state_diff import Comparison, compare
from holdfast.runtime.store import RocksStore, StoreMemory

_MIB: Final = 1024 * 1024
_TRIES: Final = 5
"""A worker may replace files while they are opened here."""


@dataclass(frozen=True, slots=True)
class LocalShard:
    """A shard's store on this machine.

    Attributes:
        slot: whose it is.
        partition: the shard.
        path: its folder.
    """

    slot: str
    partition: int
    path: Path


@dataclass(frozen=True, slots=True)
class LocalTable:
    """How one table of a shard's store compares with its changelog; left is the store.

    Attributes:
        shard: the store.
        table: the table.
        position: the changelog offset that the store stands for; None for one that holds nothing yet.
        found: what the comparison found.
        problem: why there was nothing to compare; the next start rebuilds such a store by itself.
    """

    shard: LocalShard
    table: str
    position: int | None
    found: Comparison
    problem: str = ""

    @property
    def same(self) -> bool:
        """Whether the store is what the changelog says."""
        return self.found.same and not self.problem


def local_shards(folder: Path, shard: int | None = None) -> tuple[LocalShard, ...]:
    """The shards that this machine keeps state of.

    Args:
        folder: the processor's state folder, with a folder for each slot.
        shard: only this one.
    """
    found = [
        LocalShard(path.parent.name, int(path.name), path)
        for path in folder.glob("*/*")
        if path.name.isdecimal() and path.is_dir() and shard in (None, int(path.name))
    ]
    return tuple(sorted(found, key=lambda it: (it.slot, it.partition)))


@contextlib.contextmanager
def held(folder: Path, shards: Sequence[LocalShard]) -> Iterator[None]:
    """Keep workers out of the shards' slots during the block.

    Args:
        folder: the processor's state folder.
        shards: whose slots.

    Raises:
        SlotTaken: a worker runs in one of them.
    """
    with contextlib.ExitStack() as locks:
        for slot in sorted({it.slot for it in shards}):
            try:
                locks.enter_context(SlotLock(folder / slot))
            except SlotTaken as error:
                raise SlotTaken(
                    f"a worker runs in the slot {slot} of this machine ({folder / slot}), and its state is "
                    "in use. Stop it (`holdfast run`), then try again; nothing was thrown away."
                ) from error
        yield


def throw_away(shards: Sequence[LocalShard]) -> None:
    """Delete stores; their slots are held. Whatever is left of them by a kill is swept by the next worker.

    Raises:
        StateError: one cannot be moved away.
    """
    for shard in shards:
        RocksStore.destroy(shard.path)


def check_local(
    shard: LocalShard, table: str, changelog: tuple[str, str], scanner: LogScanner, scratch: Path, most: int
) -> LocalTable:
    """Compare one table of a store with what a restore of it would give.

    The store is opened first, beside its worker if there is one; what was written to the changelog since is
    told as `behind`.

    Args:
        shard: the store.
        table: the table.
        changelog: the changelog's name and id.
        scanner: reads it.
        scratch: a folder for temporary files, which does not exist yet.
        most: how many differences to keep.

    Raises:
        StateError: the store cannot be read.
        ClusterError: the changelog cannot be read.
    """
    name, id_ = changelog
    try:
        with contextlib.closing(_look(shard.path, table)) as store:
            position = store.checkpoint(table)
            problem = _why_not_continued(store, shard.partition, table, id_)
            if problem:
                return LocalTable(shard, table, position, Comparison(), problem)
            place = TopicPartition(name, shard.partition)
            with folded(scratch, scanner.topic(name, place.__eq__), position) as truth:
                found = compare(store.items(table), truth.rows(), most, truth.is_late)
            return LocalTable(shard, table, position, found)
    except CorruptStore as error:
        return LocalTable(shard, table, None, Comparison(), f"it cannot be read: {error}")


def _why_not_continued(store: RocksStore, shard: int, table: str, id_: str) -> str:
    """Why the next start would not go on with a store; an empty text if it would."""
    if store.checkpoint(table) is None:
        return "it holds nothing yet"
    if store.shard != shard:
        return "it belongs to another shard, or does not say to which"
    if store.topic(table) != id_:
        return "it belongs to another changelog"
    return "it is too old to be continued" if store.age(table) > MAX_AGE_S else ""


def _look(path: Path, table: str) -> RocksStore:
    for tries_left in reversed(range(_TRIES)):
        try:
            return RocksStore(path, [table], StoreMemory(4 * _MIB, 4 * _MIB), read_only=True)
        except CorruptStore:
            if not tries_left:
                raise
    raise StateError(f"{path} cannot be read")  # pragma: no cover - the loop returns or raises
