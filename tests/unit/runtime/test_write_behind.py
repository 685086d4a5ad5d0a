"""Committed changes wait a moment before they are written, and are readable meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.errors import StateError
from holdfast.runtime.store import RocksStore, StoreMemory
from holdfast.runtime.write_behind import WRITE_AFTER_S, WRITE_BYTES, WRITE_ROWS, WriteBehind


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RocksStore]:
    """A store on disk."""
    store = RocksStore(tmp_path / "0", ["sums"], StoreMemory())
    yield store
    store.close()


def test_changes_are_read_back_before_they_are_written(store: RocksStore) -> None:
    """The newest value wins, and a deleted key is gone although the store still has it."""
    store.apply({"sums": [(b"a", b"1"), (b"b", b"1")]}, {"sums": 2})
    behind = WriteBehind(store)
    behind.apply({"sums": [(b"a", b"2"), (b"b", None)]}, {"sums": 4})
    behind.apply({"sums": [(b"a", b"3")]}, {"sums": 5})
    assert (behind.get("sums", b"a"), behind.get("sums", b"b")) == (b"3", None)
    assert (store.get("sums", b"a"), store.get("sums", b"b"), store.checkpoint("sums")) == (b"1", b"1", 2)


def test_a_write_brings_the_store_to_the_last_commit(store: RocksStore) -> None:
    """Values and position together; after it the store alone answers."""
    behind = WriteBehind(store)
    behind.apply({"sums": [(b"a", b"1")]}, {"sums": 1})
    behind.apply({"sums": [(b"b", b"2")]}, {"sums": 2})
    behind.write()
    assert (dict(store.items("sums")), store.checkpoint("sums")) == ({b"a": b"1", b"b": b"2"}, 2)
    assert behind.due_since is None


def test_a_table_is_listed_with_what_was_not_written_yet(store: RocksStore) -> None:
    """In key order, as from the store."""
    behind = WriteBehind(store)
    behind.apply({"sums": [(b"b", b"2"), (b"a", b"1")]}, {"sums": 2})
    assert list(behind.items("sums")) == [(b"a", b"1"), (b"b", b"2")]


@pytest.mark.parametrize(
    "rows",
    [
        [(b"%d" % n, b"") for n in range(WRITE_ROWS)],
        [(b"a", bytes(WRITE_BYTES))],
    ],
    ids=["rows", "bytes"],
)
def test_much_is_written_at_once(store: RocksStore, rows: list[tuple[bytes, bytes | None]]) -> None:
    """Neither many rows nor large ones pile up."""
    behind = WriteBehind(store)
    behind.apply({"sums": rows}, {"sums": 1})
    assert behind.due_since is not None


def test_little_waits_for_its_time(store: RocksStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted from the first change that waits, however often others follow."""
    now = 100.0
    monkeypatch.setattr("holdfast.runtime.write_behind.time.monotonic", lambda: now)
    behind = WriteBehind(store)
    behind.apply({"sums": [(b"a", b"1")]}, {"sums": 1})
    now += WRITE_AFTER_S - 0.01
    behind.apply({"sums": [(b"a", b"2")]}, {"sums": 2})
    assert behind.due_since is None
    now += 0.02
    assert behind.due_since is not None
    behind.write()
    assert behind.due_since is None


def test_closing_writes_what_is_left(tmp_path: Path) -> None:
    """A worker that stops in order has nothing to read again."""
    behind = WriteBehind(RocksStore(tmp_path / "0", ["sums"], StoreMemory()))
    behind.apply({"sums": [(b"a", b"1")]}, {"sums": 1})
    behind.close()
    again = RocksStore(tmp_path / "0", ["sums"], StoreMemory())
    assert (dict(again.items("sums")), again.checkpoint("sums")) == ({b"a": b"1"}, 1)
    again.close()


def test_what_cannot_be_written_stays_readable(store: RocksStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is the worker's to judge; closing does not raise it again."""
    behind = WriteBehind(store)
    behind.apply({"sums": [(b"a", b"1")]}, {"sums": 1})

    def refuse(*_: object, **__: object) -> None:
        raise StateError("the disk is full")

    monkeypatch.setattr(store, "apply", refuse)
    with pytest.raises(StateError, match="full"):
        behind.write()
    assert behind.get("sums", b"a") == b"1"
    behind.close()
