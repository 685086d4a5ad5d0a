"""Which of a worker's shards comes next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.runtime import write_behind
from holdfast.runtime.ownership import Ownership
from holdfast.runtime.store import RocksStore, StoreMemory
from holdfast.runtime.write_behind import WriteBehind

Change = Callable[[int], None]


@pytest.fixture
def owned(tmp_path: Path) -> Iterator[Ownership]:
    """Give three shards with stores, and one that has none yet."""
    owned, memory = Ownership(), StoreMemory()
    for partition in range(4):
        shard = owned.claim(partition)
        if partition < 3:
            shard.store = WriteBehind(RocksStore(tmp_path / str(partition), ["sums"], memory))
    yield owned
    for shard in owned:
        shard.close()


@pytest.fixture
def change(owned: Ownership) -> Change:
    """Give a function that commits something to a shard."""

    def apply(partition: int) -> None:
        shard = owned.get(partition)
        assert shard is not None
        assert shard.store is not None
        shard.store.apply({"sums": [(b"key", b"value")]}, {"sums": 1})

    return apply


def written(owned: Ownership) -> int:
    """Write the next store and tell which it was."""
    shard = owned.longest_due()
    assert shard is not None
    assert shard.store is not None
    shard.store.write()
    return shard.claim.partition


def test_stores_are_written_in_the_order_in_which_they_wait(
    owned: Ownership, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that changes all the time does not keep the others from their turn."""
    monkeypatch.setattr(write_behind, "WRITE_AFTER_S", 0.0)
    change(1)
    change(0)
    change(2)
    assert written(owned) == 1
    change(1)
    assert written(owned) == 0
    change(0)
    assert [written(owned) for _ in range(3)] == [2, 1, 0]
    assert owned.longest_due() is None


def test_nothing_is_written_before_it_is_due(owned: Ownership, change: Change) -> None:
    """A hot key would be written with every commit."""
    assert owned.longest_due() is None
    change(0)
    assert owned.longest_due() is None
