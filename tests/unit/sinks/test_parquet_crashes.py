"""The Parquet sink at every step of a commit: errors, deaths, a machine that forgets names, and rivals.

Whatever happens, the rows that readers find in the end are those of the records, each once.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from holdfast.errors import SinkDown, SinkFenced
from holdfast.record import TopicPartition, Write
from holdfast.sinks.base import SinkBatch
from holdfast.sinks.parquet import Row
from holdfast.sinks.parquet.shaping import ParquetSettings
from holdfast.sinks.parquet.sink import ParquetSink
from holdfast.testing import MemoryMessage

PLACE = TopicPartition("orders", 3)


class DeathError(BaseException):
    """The process is no more."""


@dataclass
class Disk:
    """Calls of the file system, one of which fails; and the names that a machine's death would take back.

    Attributes:
        fails_at: which call; 0 for none.
        is_done: whether that call has its effect.
        error: what it raises; a death makes all calls after it fail as well.
        failed: the name of the call that failed.
    """

    fails_at: int = 0
    is_done: bool = False
    error: Callable[[], BaseException] = DeathError
    failed: str = ""
    calls: int = 0
    is_dead: bool = False
    unsynced: list[tuple[Path, Callable[[], None]]] = field(default_factory=list)

    def call(self, name: str, action: Callable[[], Any]) -> Any:
        """Make a call, or fail."""
        self.calls += 1
        if self.is_dead:
            raise DeathError
        if self.calls != self.fails_at:
            return action()
        if self.is_done:
            action()
        self.failed, error = name, self.error()
        self.is_dead = isinstance(error, DeathError)
        raise error

    def named(self, path: Path, undo: Callable[[], None]) -> None:
        """A name in a folder changed."""
        self.unsynced.append((path.parent, undo))

    def synced(self, folder: Path) -> None:
        """Names in a folder are on the disk."""
        self.unsynced = [each for each in self.unsynced if each[0] != folder]

    def lose_names(self) -> None:
        """The machine dies."""
        for _, undo in reversed(self.unsynced):
            undo()
        self.unsynced.clear()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Give a disk whose calls go through it."""
    found = Disk()
    link, fsync, rename, unlink, mkdir = os.link, os.fsync, Path.rename, Path.unlink, Path.mkdir

    def linking(source: Path, target: Path) -> None:
        found.call("link", lambda: link(source, target))
        found.named(target, lambda: unlink(target, missing_ok=True))

    def syncing(handle: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        found.call("fsync", lambda: fsync(handle))
        found.synced(path)

    def renaming(source: Path, target: Path) -> Path:
        moved = found.call("rename", lambda: rename(source, target))
        found.named(target, lambda: rename(target, source) and None)
        return Path(moved)

    def removing(path: Path, missing_ok: bool = False) -> None:
        found.call("unlink", lambda: unlink(path, missing_ok=missing_ok))

    def making(path: Path, *arguments: Any, **options: Any) -> None:
        found.call("mkdir", lambda: mkdir(path, *arguments, **options))

    monkeypatch.setattr(os, "link", linking)
    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(Path, "rename", renaming)
    monkeypatch.setattr(Path, "unlink", removing)
    monkeypatch.setattr(Path, "mkdir", making)
    return found


def batch(begin: int, end: int, token: int, topic_id: str = "id-1") -> SinkBatch:
    """Records from one offset to another: each a row in one of two folders."""
    return SinkBatch(
        group="shop.lake",
        writes=[
            Write(MemoryMessage("orders", 3, n, key=b"k", value=b"{}"), Row({"n": n}, {"odd": n % 2}))
            for n in range(begin, end)
        ],
        begins={PLACE: begin},
        ends={PLACE: end},
        fences={PLACE: token},
        topic_ids={"orders": topic_id},
    )


def sink(path: Path) -> ParquetSink:
    return ParquetSink(ParquetSettings("lake", path, schema={"n": "int64"}))


def rows(path: Path) -> list[int]:
    """What a reader finds that knows nothing of Holdfast, by the names of the files."""
    files = sorted(path.glob("odd=*/*.parquet"), key=lambda file: file.name)
    assert {*files} == {*path.rglob("*.parquet")}
    return sorted(n for file in files for n in pq.ParquetFile(file).read()["n"].to_pylist())


def log_of(path: Path, pattern: str = "*") -> list[str]:
    return sorted(file.name for file in (path / "_holdfast/shop.lake/orders/3").glob(pattern))


BATCHES = [(0, 6), (6, 12)]


def write_all(writer: ParquetSink, token: int, committed: int = 0) -> Iterator[int]:
    """Write what is not committed on Kafka, and say up to where it is written then."""
    for begin, end in BATCHES:
        if end > committed:
            writer.write(batch(max(begin, committed), end, token))
            yield end


def calls_of_a_run(path: Path, disk: Disk) -> int:
    """How many calls all batches need, counted on a folder of their own."""
    folder = path / "counted"
    os.mkdir(folder)
    list(write_all(sink(folder), 1))
    calls, disk.calls = disk.calls, 0
    disk.unsynced.clear()
    return calls


@pytest.mark.parametrize("is_done", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("dies", ["process", "machine"])
def test_a_death_at_any_step_costs_nothing(tmp_path: Path, disk: Disk, dies: str, is_done: bool) -> None:
    """The next owner writes again what was not committed on Kafka, in another cut."""
    for at in range(1, calls_of_a_run(tmp_path, disk) + 1):
        path = tmp_path / str(at)
        os.mkdir(path)
        disk.calls, disk.fails_at, disk.is_done = 0, at, is_done
        committed = written = 0
        try:
            for end in write_all(sink(path), 1):
                # Kafka may have the positions of all but the last.
                committed, written = written, end
        except DeathError:
            pass
        disk.is_dead, disk.fails_at = False, 0
        if dies == "machine":
            disk.lose_names()
        found = rows(path)
        assert found == sorted(set(found)), f"a row is there twice after a death at call {at}"
        heir = sink(path)
        heir.write(batch(committed, 13, 2))
        heir.write(batch(13, 20, 2))
        assert rows(path) == list(range(20)), f"not so after a death at call {at}"


@pytest.mark.parametrize("is_done", [False, True], ids=["not done", "done"])
def test_an_error_at_any_step_costs_nothing(tmp_path: Path, disk: Disk, is_done: bool) -> None:
    """The same sink is tried again, with smaller batches first."""
    disk.error = lambda: OSError(28, "No space left on device")
    for at in range(1, calls_of_a_run(tmp_path, disk) + 1):
        path = tmp_path / str(at)
        os.mkdir(path)
        disk.calls, disk.fails_at, disk.is_done = 0, at, is_done
        writer = sink(path)
        committed = 0
        with contextlib.suppress(SinkDown):
            for end in write_all(writer, 1):
                committed = end
        entries = [int(name.partition(".")[0]) for name in log_of(path, "*.json")]
        left = [int(name.partition("-")[0]) for name in log_of(path, "*.part")]
        is_clean = all(number <= max(entries, default=0) for number in left)
        assert is_clean or disk.failed == "link", f"room is taken after an error at call {at}"
        for end in (committed + 2, 14):
            writer.write(batch(committed, end, 1))
        assert rows(path) == list(range(14)), f"not so after an error at call {at}"


def test_what_a_commit_left_behind_is_removed_by_the_next_owner(tmp_path: Path, disk: Disk) -> None:
    """The log does not grow."""
    writer = sink(tmp_path)
    for n in range(9):
        writer.write(batch(n, n + 1, 1))
    # The entry's link: its rows are there, unseen.
    disk.calls, disk.fails_at = 0, 3
    with pytest.raises(DeathError):
        writer.write(batch(9, 10, 1))
    disk.is_dead = False
    assert [name for name in log_of(tmp_path) if name.endswith(".part")] != []
    heir = sink(tmp_path)
    heir.write(batch(9, 10, 2))
    sink(tmp_path).write(batch(10, 11, 3))
    assert log_of(tmp_path) == [f"{n:020}.json" for n in (10, 11)]
    assert rows(tmp_path) == list(range(11))


@pytest.mark.parametrize("known", [0, 1, 2, 3])
def test_an_owner_that_slept_for_long_creates_no_entry_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: int
) -> None:
    """The number after the newest that it knows was there, and is gone."""
    path = tmp_path
    late, others = sink(path), sink(path)
    for n in range(known):
        late.write(batch(n, n + 1, 1))
    link = os.link

    def sleeping(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        for n in range(known, 12):
            others.write(batch(n, n + 1, 2))
        link(source, target)

    monkeypatch.setattr(os, "link", sleeping)
    with pytest.raises(SinkFenced):
        late.write(batch(known, known + 2, 1))
    sink(path).write(batch(12, 13, 2))
    assert rows(path) == list(range(13))


def test_a_rival_that_is_first_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner of before was not fenced yet, and commits between the owner's look and its commit."""
    old, new = sink(tmp_path), sink(tmp_path)
    old.write(batch(0, 2, 1))
    link = os.link

    def after_the_other(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        old.write(batch(2, 5, 1))
        link(source, target)

    monkeypatch.setattr(os, "link", after_the_other)
    new.write(batch(2, 8, 2))
    assert rows(tmp_path) == list(range(8))
    with pytest.raises(SinkFenced):
        old.write(batch(8, 9, 1))


def test_many_owners_at_once_write_each_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frozen ones that wake, at any step, while others go on."""
    _slow_down(monkeypatch, random.Random(7))
    records, tokens, guard = 120, iter(range(1, 10_000)), threading.Lock()
    errors: list[BaseException] = []

    def own(number: int) -> None:
        choose = random.Random(number)
        try:
            for _ in range(12):
                _one_ownership(tmp_path, token=_next(guard, tokens), choose=choose, records=records)
        except BaseException as error:  # noqa: BLE001 - told by the test
            errors.append(error)

    threads = [threading.Thread(target=own, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    sink(tmp_path).write(batch(0, records, 10_000))
    assert rows(tmp_path) == list(range(records))


def _one_ownership(path: Path, *, token: int, choose: random.Random, records: int) -> None:
    """Write from anywhere that may be committed, until a newer owner is noticed or one stops by itself."""
    writer, at = sink(path), 0
    try:
        while at < records and choose.random() < 0.9:
            end = min(at + choose.randint(1, 20), records)
            writer.write(batch(at, end, token))
            at = end if choose.random() < 0.8 else at
    except SinkFenced:
        return


def _next(guard: threading.Lock, tokens: Iterator[int]) -> int:
    with guard:
        return next(tokens)


def _slow_down(monkeypatch: pytest.MonkeyPatch, choose: random.Random) -> None:
    """Sleep at some of the steps."""

    def slow(kind: Any, name: str) -> None:
        original = getattr(kind, name)

        def call(*arguments: Any, **options: Any) -> Any:
            if choose.random() < 0.3:
                time.sleep(choose.random() * 0.004)
            return original(*arguments, **options)

        monkeypatch.setattr(kind, name, call)

    names: Sequence[tuple[Any, str]] = [(os, "link"), (Path, "rename"), (Path, "unlink"), (Path, "glob")]
    for kind, name in names:
        slow(kind, name)
