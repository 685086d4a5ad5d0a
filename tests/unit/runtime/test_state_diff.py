"""Two states compared: every key counts once, and in the right place."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from holdfast.errors import SlotTaken
from holdfast.record import Message, TopicPartition
from holdfast.runtime.folded import folded
from holdfast.runtime.local_state import (
    LocalShard,
    LocalTable,
    check_local,
    held,
    local_shards,
    throw_away,
)
from holdfast.runtime.slot import SlotLock
from holdfast.runtime.state_diff import Comparison, Difference, compare
from holdfast.runtime.store import RocksStore, StoreMemory
from holdfast.testing import MemoryMessage


def test_each_kind_of_difference_is_counted_and_shown() -> None:
    """In the order of the keys, with both values."""
    found = compare(
        [(b"a", b"1"), (b"b", b"2"), (b"d", b"4")], [(b"b", b"2"), (b"c", b"3"), (b"d", b"5")], 10
    )
    shown = (Difference(b"a", b"1", None), Difference(b"c", None, b"3"), Difference(b"d", b"4", b"5"))
    assert found == Comparison(equal=1, differ=1, only_left=1, only_right=1, first=shown)
    assert not found.same


def test_only_the_first_differences_are_kept_and_all_are_counted() -> None:
    """So that memory does not grow with what is wrong."""
    found = compare([(b"%03d" % n, b"x") for n in range(100)], [], 2)
    assert (found.only_left, [it.key for it in found.first]) == (100, [b"000", b"001"])


def test_keys_that_changed_since_are_not_compared() -> None:
    """But told; those that are equal anyway count as equal."""
    left, right = [(b"a", b"1"), (b"b", b"1")], [(b"a", b"2"), (b"b", b"1"), (b"c", b"1")]
    found = compare(left, right, 10, lambda key: key in (b"a", b"b", b"c"))
    assert found == Comparison(equal=1, behind=2)
    assert found.same


@pytest.mark.parametrize("seed", range(20))
def test_the_counts_are_those_of_dictionaries(seed: int) -> None:
    """Whatever the states are; empty ones too."""
    chance = random.Random(seed)
    left, right = (
        {b"%d" % chance.randrange(40): b"%d" % chance.randrange(2) for _ in range(chance.randrange(40))}
        for _ in range(2)
    )
    found = compare(sorted(left.items()), sorted(right.items()), 1000)
    both = left.keys() & right.keys()
    assert found.equal == sum(left[key] == right[key] for key in both)
    assert found.differ == sum(left[key] != right[key] for key in both)
    assert (found.only_left, found.only_right) == (len(left.keys() - both), len(right.keys() - both))


def test_a_changelog_is_folded_to_its_last_values(tmp_path: Path) -> None:
    """Deleted keys are gone, and what changed late is known."""
    rows = [(b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"b", None), (b"c", b"3")]
    records = [MemoryMessage("t", 0, n, key=key, value=value) for n, (key, value) in enumerate(rows)]
    with folded(tmp_path / "f", records, late_from=3) as state:
        assert list(state.rows()) == [(b"a", b"2"), (b"c", b"3")]
        assert [state.is_late(key) for key in (b"a", b"b", b"c")] == [False, True, True]


class Changelog:
    """A `LogScanner` of one topic."""

    def __init__(self, *rows: tuple[bytes, bytes | None]) -> None:
        self._rows = rows

    def topic(self, name: str, only: Callable[[TopicPartition], bool]) -> Iterator[Message]:
        """The records of shard 3."""
        assert only(TopicPartition(name, 3))
        assert not only(TopicPartition(name, 2))
        for offset, (key, value) in enumerate(self._rows):
            yield MemoryMessage(name, 3, offset, key=key, value=value)


def checked(folder: Path, log: Changelog, topic: str = "id-1") -> LocalTable:
    """Compare the store of shard 3."""
    shard = LocalShard("vm-0", 3, folder / "3")
    return check_local(shard, "sums", ("sums.changelog", topic), cast("Any", log), folder / "scratch", 5)


def stored(folder: Path, position: int | None, **rows: str) -> None:
    """Make the store of shard 3."""
    store = RocksStore(folder / "3", ["sums"], StoreMemory())
    store.begin({"sums": "id-1"}, 3)
    if position is not None:
        store.apply({"sums": [(k.encode(), v.encode()) for k, v in rows.items()]}, {"sums": position})
    store.close()


def test_a_store_is_compared_up_to_where_it_stands(tmp_path: Path) -> None:
    """Later changes and deletions are no difference; a value that the changelog never had is."""
    stored(tmp_path, 4, a="1", b="1", c="1", d="wrong")
    log = Changelog((b"a", b"1"), (b"b", b"1"), (b"c", b"1"), (b"d", b"1"), (b"b", b"2"), (b"c", None))
    found = checked(tmp_path, log)
    assert (found.found.equal, found.found.behind, found.position) == (1, 2, 4)
    assert found.found.first == (Difference(b"d", b"wrong", b"1"),)
    assert not found.same


def test_a_store_that_will_not_be_continued_is_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong with it is said instead, and it never counts as right."""
    log = Changelog()
    stored(tmp_path, None)
    assert checked(tmp_path, log).problem == "it holds nothing yet"
    stored(tmp_path, 0)
    assert checked(tmp_path, log).same
    other = checked(tmp_path, log, "id-2")
    assert (other.problem, other.same) == ("it belongs to another changelog", False)
    monkeypatch.setattr("holdfast.runtime.local_state.MAX_AGE_S", -1.0)
    assert "too old" in checked(tmp_path, log).problem
    (tmp_path / "3" / "CURRENT").write_text("nonsense")
    assert "cannot be read" in checked(tmp_path, log).problem


def test_state_is_thrown_away_only_when_no_worker_has_the_slot(tmp_path: Path) -> None:
    """One shard, or all of them; other shards and slots stay."""
    for slot, partition in (("vm-0", 0), ("vm-0", 1), ("vm-1", 0)):
        RocksStore(tmp_path / slot / str(partition), ["sums"], StoreMemory()).close()
    (tmp_path / "vm-0" / "notes").mkdir()
    assert [(it.slot, it.partition) for it in local_shards(tmp_path)] == [
        ("vm-0", 0),
        ("vm-0", 1),
        ("vm-1", 0),
    ]
    chosen = local_shards(tmp_path, 0)
    with (
        SlotLock(tmp_path / "vm-1"),
        pytest.raises(SlotTaken, match="worker runs in the slot vm-1"),
        held(tmp_path, chosen),
    ):
        pytest.fail("the slot is taken")
    with held(tmp_path, chosen):
        throw_away(chosen)
    assert [(it.slot, it.partition) for it in local_shards(tmp_path)] == [("vm-0", 1)]
