"""Simulated disks: local state in memory that outlives the process, in place of RocksDB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.engine.ports import Changes
from holdfast.errors import CorruptStore, StoreError
from holdfast.testing.simulation.kernel import Kernel, Process

DISK_FAULT = "simulated disk fault"
"""What the errors of faulty disks say."""


@dataclass(slots=True)
class Folder:
    """What lies in a shard's state folder.

    Attributes:
        holder: the process that has it open.
        tables: rows by table.
        checkpoints: the changelog position that each table stands for.
        topics: the id of each table's changelog.
        shard: the shard that the state is of.
        complete_at: when each table was complete last, in virtual seconds.
        is_complete: whether the last write left all tables complete.
    """

    holder: Process | None = None
    tables: dict[str, dict[bytes, bytes]] = field(default_factory=dict)
    checkpoints: dict[str, int] = field(default_factory=dict)
    topics: dict[str, str] = field(default_factory=dict)
    shard: int | None = None
    complete_at: dict[str, float] = field(default_factory=dict)
    is_complete: bool = False


@dataclass(slots=True)
class DiskFaults:
    """How often a call fails, from 0 to 1."""

    read: float = 0.0
    write: float = 0.0
    damage: float = 0.0


class Disks:
    """All state folders of a simulation.

    Args:
        kernel: time and chance.

    Attributes:
        folders: by path.
        faults: what fails by chance.
        due: errors of the next calls, the last one first.
        discarded: folders that workers threw away.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.folders: dict[Path, Folder] = {}
        self.faults = DiskFaults()
        self.due: list[StoreError] = []
        self.discarded: list[Path] = []

    def store_class(self) -> type[SimStore]:
        """A class in place of `RocksStore`, on these disks."""
        return type("SimStoreOnDisks", (SimStore,), {"disks": self})

    def lose(self, below: Path) -> None:
        """Delete all folders below a path that nobody has open."""
        for path in [p for p, f in self.folders.items() if below in p.parents and f.holder is None]:
            del self.folders[path]

    def strike(self, path: Path, chance: float) -> None:
        """Fail, perhaps."""
        faults, rng = self.faults, self.kernel.rng
        if self.due:
            raise self.due.pop()
        if chance and rng.random() < chance:
            if rng.random() < faults.damage:
                raise CorruptStore(f"state folder {path}: {DISK_FAULT} (damage)")
            raise StoreError(f"state folder {path}: {DISK_FAULT}")


class SimStore:
    """A shard's local state; the calls of `holdfast.runtime.store.RocksStore`.

    Args:
        path: its folder.
        tables: the shard's tables.
        memory: not used.
    """

    disks: Disks

    def __init__(self, path: Path, tables: Iterable[str], memory: object) -> None:  # noqa: ARG002
        self.path = path
        self._kernel = self.disks.kernel
        folder = self.disks.folders.setdefault(path, Folder())
        if folder.holder is not None and folder.holder.alive:
            raise StoreError(f"state folder {path} is in use by another process")
        process = self._kernel.process
        assert process is not None
        self._kernel.step("open store")
        folder.holder = process
        for table in tables:
            folder.tables.setdefault(table, {})
        self._folder: Folder | None = folder

    @classmethod
    def open_or_discard(cls, path: Path, tables: Iterable[str], memory: object) -> tuple[SimStore, bool]:
        """Open it; thrown away first if it is damaged, which it never is when it is opened."""
        return cls(path, tables, memory), False

    @classmethod
    def destroy(cls, path: Path) -> None:
        """Delete a closed store's folder."""
        cls.disks.folders.pop(path, None)
        cls.disks.discarded.append(path)

    @classmethod
    def sweep(cls, folder: Path) -> None:
        """Nothing is ever left over."""

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value under a key."""
        self.disks.strike(self.path, self.disks.faults.read)
        return self._open().tables[table].get(key)

    def items(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """All rows in key order."""
        self.disks.strike(self.path, self.disks.faults.read)
        return iter(sorted(self._open().tables[table].items()))

    def apply(self, changes: Changes, checkpoint: Mapping[str, int], *, complete: bool = True) -> None:
        """Write changes and positions, together."""
        self._kernel.step("before a write")
        self.disks.strike(self.path, self.disks.faults.write)
        folder = self._open()
        for table, rows in changes.items():
            kept = folder.tables[table]
            for key, value in rows:
                if value is None:
                    kept.pop(key, None)
                else:
                    kept[key] = value
        folder.checkpoints.update(checkpoint)
        folder.is_complete = complete
        if complete:
            folder.complete_at.update(dict.fromkeys(folder.tables, self._kernel.now))
        self._kernel.step("after a write")

    def checkpoint(self, table: str) -> int | None:
        """The position that a table stands for."""
        return self._open().checkpoints.get(table)

    def topic(self, table: str) -> str | None:
        """The id of a table's changelog."""
        return self._open().topics.get(table)

    @property
    def shard(self) -> int | None:
        """The shard that the state is of."""
        return self._open().shard

    def age(self, table: str) -> float:
        """Seconds since a table was complete last."""
        return self._kernel.now - self._open().complete_at.get(table, -1e9)

    def begin(self, topics: Mapping[str, str], shard: int) -> None:
        """Note the changelogs' ids, and the shard."""
        folder = self._open()
        folder.shard = shard
        for table, topic in topics.items():
            folder.topics[table] = topic
            if table not in folder.checkpoints:
                folder.complete_at[table] = self._kernel.now

    def close(self) -> None:
        """Let go of the folder."""
        if self._folder is not None:
            if self._folder.holder is self._kernel.process:
                self._folder.holder = None
            self._folder = None

    def _open(self) -> Folder:
        if self._folder is None:
            raise StoreError(f"state folder {self.path}: used after it was closed")
        return self._folder
