"""The local store: a cache of the changelog that may be lost, but never wrong or shared."""

from __future__ import annotations

import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import CorruptStore, StateError, StoreError
from holdfast.runtime.store import RocksStore, StoreMemory
from tests.unit.runtime.kit import wait_until

MEMORY = StoreMemory()


def open_store(path: Path, *tables: str) -> RocksStore:
    """A store of the tables, `sums` alone unless given."""
    return RocksStore(path, tables or ("sums",), MEMORY)


def filled(path: Path, rows: int = 500) -> dict[bytes, bytes]:
    """Make a store with content that was flushed, and close it."""
    content = {f"k{i:04}".encode(): os.urandom(40) for i in range(rows)}
    store = open_store(path)
    store.apply({"sums": list(content.items())}, {"sums": rows})
    store.close()
    return content


def victims(path: Path, pattern: str) -> list[Path]:
    """The files to be damaged: there are some, and they hold something."""
    files = sorted(path.glob(pattern))
    assert files
    assert all(file.stat().st_size for file in files)
    return files


def unflushed(store: RocksStore) -> int:
    """Bytes of a store that are not in its table files yet."""
    size: int | None = store._families["sums"].property_int_value("rocksdb.cur-size-all-mem-tables")
    assert size is not None
    return size


def require_rebuilt(path: Path) -> None:
    """The folder is thrown away, and an empty store that takes everything anew stands in its place."""
    store, discarded = RocksStore.open_or_discard(path, ["sums"], MEMORY)
    assert discarded
    assert (dict(store.items("sums")), store.checkpoint("sums")) == ({}, None)
    store.apply({"sums": [(b"a", b"1")]}, {"sums": 1})
    store.close()
    again, discarded = RocksStore.open_or_discard(path, ["sums"], MEMORY)
    assert (discarded, dict(again.items("sums")), again.checkpoint("sums")) == (False, {b"a": b"1"}, 1)
    again.close()


def test_changes_and_checkpoint_are_there_after_reopening(tmp_path: Path) -> None:
    """In key order; deletions are gone."""
    store = open_store(tmp_path / "s")
    assert store.checkpoint("sums") is None
    store.apply({"sums": [(b"b", b"1"), (b"a", b"2"), (b"c", b"3"), (b"c", None)]}, {"sums": 7})
    store.close()
    store.close()
    again = open_store(tmp_path / "s")
    assert list(again.items("sums")) == [(b"a", b"2"), (b"b", b"1")]
    assert (again.get("sums", b"c"), again.checkpoint("sums")) == (None, 7)
    again.close()


def test_tables_are_separate(tmp_path: Path) -> None:
    """Each with its own checkpoint."""
    store = open_store(tmp_path, "one", "two")
    store.apply({"one": [(b"k", b"1")], "two": [(b"k", b"2")]}, {"one": 3})
    assert (store.get("one", b"k"), store.get("two", b"k")) == (b"1", b"2")
    assert (store.checkpoint("one"), store.checkpoint("two")) == (3, None)
    store.close()


def test_a_store_opens_with_fewer_and_with_more_tables(tmp_path: Path) -> None:
    """A topology may change: what it no longer declares is left alone."""
    store = open_store(tmp_path, "one", "two")
    store.apply({"one": [(b"k", b"1")], "two": [(b"k", b"2")]}, {"one": 3, "two": 4})
    store.close()
    fewer = open_store(tmp_path, "one")
    assert fewer.get("one", b"k") == b"1"
    fewer.close()
    more = open_store(tmp_path, "one", "two", "three")
    assert (more.get("two", b"k"), more.get("three", b"k"), more.checkpoint("two")) == (b"2", None, 4)
    more.close()


def test_what_is_not_on_disk_yet_is_bounded_for_all_stores_together(tmp_path: Path) -> None:
    """Not for each of them: giving away many shards flushes no more than giving away one."""
    bound, count = 48 * 1024 * 1024, 32
    memory = StoreMemory(write_buffers=bound)
    stores = [RocksStore(tmp_path / str(n), ["sums"], memory) for n in range(count)]
    for batch in range(30 * count):
        rows = [(os.urandom(16), os.urandom(1000)) for _ in range(100)]
        stores[batch % count].apply({"sums": rows}, {"sums": batch})
    # What is on its way to the disk counts. Without the common bound they would hold all of it for good.
    wait_until(lambda: sum(map(unflushed, stores)) < 1.25 * bound)
    for store in stores:
        store.close()


def test_a_second_opener_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    """It is not corruption: the folder must not be thrown away."""
    filled(tmp_path)
    store = open_store(tmp_path)
    with pytest.raises(StateError, match="in use by another process") as caught:
        RocksStore.open_or_discard(tmp_path, ["sums"], MEMORY)
    assert not isinstance(caught.value, CorruptStore)
    assert len(list(store.items("sums"))) == 500
    store.close()


def test_a_store_can_be_looked_at_beside_its_worker(tmp_path: Path) -> None:
    """Read only."""
    filled(tmp_path)
    store = open_store(tmp_path)
    beside = RocksStore(tmp_path, ["sums"], MEMORY, read_only=True)
    assert len(list(beside.items("sums"))) == 500
    beside.close()
    store.close()


def read_all(read: Callable[[], Any]) -> Any:
    """What is read, or None if that is refused."""
    try:
        return read()
    except CorruptStore:
        return None


@pytest.mark.parametrize("seed", [*range(8), 18, 67, 108, 176])
def test_whatever_is_damaged_a_read_is_right_or_the_store_is_corrupt(tmp_path: Path, seed: int) -> None:
    """Bytes overwritten at random in any file: never a wrong value, never another error."""
    rng = random.Random(seed)
    content = filled(tmp_path)
    files = sorted(
        file for file in tmp_path.iterdir() if file.stat().st_size and file.name not in ("LOCK", "LOG")
    )
    for file in rng.sample(files, rng.randint(1, len(files))):
        data = bytearray(file.read_bytes())
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            data[at : at + 8] = rng.randbytes(8)
        assert data != file.read_bytes()
        file.write_bytes(data)
    try:
        store, discarded = RocksStore.open_or_discard(tmp_path, ["sums"], MEMORY)
    except CorruptStore:
        pytest.fail("an empty store can always be made")
    try:
        checkpoint = store.checkpoint("sums")
        if checkpoint != 500:
            # Nothing of it, and nothing that claims to be all of it.
            assert discarded or checkpoint is None
            return
        assert read_all(lambda: {key: store.get("sums", key) for key in content}) in (content, None)
        assert read_all(lambda: dict(store.items("sums"))) in (content, None)
    except CorruptStore:
        return
    finally:
        store.close()


OPEN_ALL = """
import sys
from pathlib import Path
from holdfast.runtime.store import RocksStore, StoreMemory
memory = StoreMemory()
for path in sorted(Path(sys.argv[1]).iterdir()):
    store, discarded = RocksStore.open_or_discard(path, ["sums"], memory)
    store.apply({"sums": [(b"a", b"1")]}, {"sums": 1})
    print(path.name, discarded, store.checkpoint("sums"), flush=True)
    store.close()
"""


@pytest.mark.parametrize("log", ["MANIFEST-*", "*.log"])
def test_no_damage_of_a_records_type_makes_the_opening_hang(tmp_path: Path, log: str) -> None:
    """RocksDB loops for ever on some types, with the interpreter's lock held: hence a process of its own."""
    source, copies = tmp_path / "source", tmp_path / "copies"
    store = open_store(source)
    for n in range(3):
        store.apply({"sums": [(b"k", b"%d" % n)]}, {"sums": n})
    copies.mkdir()
    # Copied while it is open, as a kill leaves it: there is something in the write-ahead log.
    for kind in (5, 6, 7, 8, 11, 131, 255):
        shutil.copytree(source, copies / f"{kind:03}")
        (file,) = (f for f in (copies / f"{kind:03}").glob(log) if f.stat().st_size)
        data = bytearray(file.read_bytes())
        second = 7 + int.from_bytes(data[4:6], "little")
        assert data[second + 6] == 1
        data[second + 6] = kind
        file.write_bytes(data)
    store.close()
    opened = subprocess.run(
        [sys.executable, "-c", OPEN_ALL, str(copies)], capture_output=True, text=True, timeout=30, check=True
    )
    assert opened.stdout.splitlines() == [f"{kind:03} True 1" for kind in (5, 6, 7, 8, 11, 131, 255)]


def test_a_log_that_ends_in_the_middle_of_a_record_is_no_damage(tmp_path: Path) -> None:
    """A kill or a power cut leaves it so: what was whole is still there."""
    source, copy = tmp_path / "source", tmp_path / "copy"
    store = open_store(source)
    store.apply({"sums": [(b"a", b"1")]}, {"sums": 1})
    store.apply({"sums": [(b"b", os.urandom(100_000))]}, {"sums": 2})
    shutil.copytree(source, copy)
    store.close()
    (file,) = (f for f in copy.glob("*.log") if f.stat().st_size)
    file.write_bytes(file.read_bytes()[:-5_000])
    again, discarded = RocksStore.open_or_discard(copy, ["sums"], MEMORY)
    assert (discarded, dict(again.items("sums")), again.checkpoint("sums")) == (False, {b"a": b"1"}, 1)
    again.close()


def test_a_missing_table_file_is_corruption(tmp_path: Path) -> None:
    """It is rebuilt like any other damage."""
    filled(tmp_path)
    for file in victims(tmp_path, "*.sst"):
        file.unlink()
    require_rebuilt(tmp_path)


@pytest.mark.parametrize("pattern", ["CURRENT", "MANIFEST-*"])
def test_missing_or_empty_files_are_corruption(tmp_path: Path, pattern: str) -> None:
    """What names the other files is gone."""
    filled(tmp_path / "missing")
    shutil.copytree(tmp_path / "missing", tmp_path / "empty")
    for name in ("missing", "empty"):
        for file in victims(tmp_path / name, pattern):
            file.unlink() if name == "missing" else file.write_bytes(b"")
        require_rebuilt(tmp_path / name)


def test_a_limit_of_open_files_destroys_nothing(tmp_path: Path) -> None:
    """It is told with what to do, and when it is lifted everything is still there."""
    content = filled(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The limit is one of the numbers: fill the gaps that other tests have left below the highest.
    highest = max(map(int, os.listdir("/proc/self/fd")))
    fillers = [os.open(os.devnull, os.O_RDONLY)]
    while fillers[-1] < highest:
        fillers.append(os.open(os.devnull, os.O_RDONLY))
    told = []
    for spare in range(8):
        resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[-1] + 1 + spare, limits[1]))
        try:
            store, discarded = RocksStore.open_or_discard(tmp_path, ["sums"], MEMORY)
        except StateError as error:
            told.append(error)
        else:
            assert not discarded
            store.close()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for filler in fillers:
        os.close(filler)
    assert told
    assert not any(isinstance(error, CorruptStore) for error in told)
    assert all("ulimit -n" in str(error) for error in told)
    store = open_store(tmp_path)
    assert dict(store.items("sums")) == content
    store.close()


@pytest.mark.parametrize(
    "text",
    [
        "IO error: While opening a file for sequentially reading: /s/CURRENT: Permission denied",
        "IO error: While pread offset 0 len 53: /LOCKER/s/000009.sst: Input/output error",
        "Corruption: IO error: While open a file for random read: /s/000009.sst: Too many open files",
        "Permission denied (os error 13)",
    ],
)
def test_what_a_rebuild_does_not_mend_keeps_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Errors that cannot be brought about here: no permission (root has it), a broken disk."""
    filled(tmp_path)

    def refuse(*_: object) -> None:
        raise Exception(text)

    monkeypatch.setattr("holdfast.runtime.store.Rdict.list_cf", refuse)
    with pytest.raises(StoreError, match="The folder is kept") as caught:
        RocksStore.open_or_discard(tmp_path, ["sums"], MEMORY)
    assert not isinstance(caught.value, CorruptStore)
    assert list(tmp_path.glob("*.sst"))


def test_a_folder_whose_name_has_lock_in_it_can_be_corrupt(tmp_path: Path) -> None:
    """The path is part of RocksDB's messages."""
    path = tmp_path / "UNLOCKED"
    filled(path)
    for file in victims(path, "*.sst"):
        file.unlink()
    require_rebuilt(path)


def test_a_kill_while_a_folder_is_deleted_leaves_nothing_that_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of a store could look like a whole one; what is left is deleted at the slot's next start."""
    path = tmp_path / "0"
    filled(path)
    monkeypatch.setattr("holdfast.runtime.store.shutil.rmtree", lambda *_, **__: None)
    RocksStore.destroy(path)
    assert not path.exists()
    filled(path)
    RocksStore.destroy(path)
    monkeypatch.undo()
    filled(path)
    assert len(list(tmp_path.iterdir())) == 3
    RocksStore.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [path]
    store = open_store(path)
    assert store.checkpoint("sums") == 500
    store.close()


def test_a_folder_that_is_not_there_is_destroyed(tmp_path: Path) -> None:
    """There is nothing to do, also when not even the slot's folder is there."""
    RocksStore.destroy(tmp_path / "slot" / "0")
    RocksStore.sweep(tmp_path / "slot")
    assert not (tmp_path / "slot").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """With what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"cannot be made.*HOLDFAST_HOME"):
        open_store(tmp_path / "file" / "s")
