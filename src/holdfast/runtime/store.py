"""The local state of a shard: one RocksDB, one column family per table.

A cache of the changelog, never the truth: it is written after the commit, together
with the changelog position it stands for, so that a crash leaves it at a committed
point and only the changelog's tail is read again. A folder that cannot be read is
thrown away and rebuilt.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from rocksdict import AccessType, BlockBasedOptions, Cache, Options, Rdict, WriteBatch, WriteBufferManager

from holdfast.engine.ports import Changes
from holdfast.errors import CorruptStore, StateError, StoreError
from holdfast.runtime.store_logs import require_readable_logs

log = logging.getLogger(__name__)

DISCARDED: Final = ".discarded-"
"""How the name of a folder begins that is being deleted."""

_MIB: Final = 1024 * 1024
_CHECKPOINT: Final = b"checkpoint:"
_TOPIC: Final = b"topic:"
_COMPLETE: Final = b"complete:"
_SHARD: Final = b"shard"
_WRITE_BUFFER: Final = 4 * _MIB
_WAL_LIMIT: Final = 64 * _MIB
_LOCKED: Final = ("IO error: lock hold by current process", "IO error: While lock file: ")
"""How RocksDB begins when another database object, of this process or of another one, has the folder."""


class StoreMemory:
    """Memory that all stores of a worker share: blocks read, and writes not yet on disk.

    Args:
        block_cache: bytes for blocks read.
        write_buffers: bytes for memtables; above it whichever is written to next is flushed.
    """

    def __init__(self, block_cache: int = 32 * _MIB, write_buffers: int = 48 * _MIB) -> None:
        self._cache = Cache(block_cache)
        self._buffers = WriteBufferManager(write_buffers, False)

    def options(self) -> Options:
        """Options for one database or column family."""
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.create_missing_column_families(True)
        options.set_write_buffer_manager(self._buffers)
        options.set_write_buffer_size(_WRITE_BUFFER)
        options.set_max_total_wal_size(_WAL_LIMIT)
        options.set_keep_log_file_num(2)
        options.set_max_log_file_size(_MIB)
        options.set_max_open_files(256)
        blocks = BlockBasedOptions()
        blocks.set_block_cache(self._cache)
        blocks.set_bloom_filter(10, block_based=False)
        blocks.set_cache_index_and_filter_blocks(True)
        options.set_block_based_table_factory(blocks)
        return options


class RocksStore:
    """The committed state of one shard.

    Args:
        path: its folder; made if missing.
        tables: the shard's tables.
        memory: shared with the worker's other stores.
        read_only: open beside a running worker, to look at it.

    Raises:
        CorruptStore: the folder cannot be read.
        StateError: another process holds it, or it cannot be made.
    """

    def __init__(
        self, path: Path, tables: Iterable[str], memory: StoreMemory, *, read_only: bool = False
    ) -> None:
        self.path = path
        self._closed = False
        options = memory.options()
        families = dict.fromkeys(tables, options)
        access = AccessType.read_only() if read_only else AccessType.read_write()
        if not read_only:
            self._make_folder()
        try:
            require_readable_logs(path)
            # RocksDB refuses to open only some of a database's families: a table that the
            # topology no longer declares is opened too, and left alone.
            known = Rdict.list_cf(str(path)) if (path / "CURRENT").exists() else []
            present = {name: options for name in known if name != "default"}
            self._db = Rdict(str(path), options, {**present, **families}, access)
            self._families = {table: self._db.get_column_family(table) for table in families}
            self._handles = {table: self._db.get_column_family_handle(table) for table in families}
        except StateError:
            raise
        except Exception as error:
            raise self._failure("opened", error) from error

    @classmethod
    def open_or_discard(
        cls, path: Path, tables: Iterable[str], memory: StoreMemory
    ) -> tuple[RocksStore, bool]:
        """Open the store; throw its folder away when it cannot be read.

        Returns:
            The store, and whether the old content was discarded.

        Raises:
            StateError: not even an empty store can be made there (a full disk, a missing permission).
        """
        tables = tuple(tables)
        try:
            return cls(path, tables, memory), False
        except CorruptStore:
            cls.destroy(path)
            return cls(path, tables, memory), True

    @staticmethod
    def destroy(path: Path) -> None:
        """Delete a closed store's folder.

        A kill at any moment leaves the whole folder, or something under another name that `sweep` deletes.

        Raises:
            StateError: it cannot be moved away.
        """
        aside = path.with_name(f"{DISCARDED}{path.name}-{time.time_ns()}")
        try:
            path.rename(aside)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StateError(
                f"state folder {path} cannot be thrown away ({error.strerror}); check the permissions of "
                "the folder that it is in, or delete it, and restart"
            ) from error
        shutil.rmtree(aside, ignore_errors=True)

    @staticmethod
    def sweep(folder: Path) -> None:
        """Delete what is left of destroyed stores in a slot's folder."""
        for left in folder.glob(f"{DISCARDED}*"):
            shutil.rmtree(left, ignore_errors=True)

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value under `key`, or None.

        Raises:
            StoreError: the data cannot be read; a `CorruptStore` when it is damaged.
        """
        try:
            return self._families[table].get(key)
        except Exception as error:
            raise self._failure("read", error) from error

    def items(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """All keys and values of `table` in key order.

        Raises:
            StoreError: the data cannot be read; a `CorruptStore` when it is damaged.
        """
        try:
            rows = self._families[table].iter()
            rows.seek_to_first()
            while rows.valid():
                yield rows.key(), rows.value()
                rows.next()
            # Damage ends an iteration like the last key does; only the status tells.
            rows.status()
        except Exception as error:
            raise self._failure("read", error) from error

    def apply(self, changes: Changes, checkpoint: Mapping[str, int], *, complete: bool = True) -> None:
        """Write committed changes with the changelog positions they bring the tables to, atomically.

        Args:
            changes: rows by table.
            checkpoint: the position that each table then stands for.
            complete: whether all tables then hold everything that was committed so far.

        Raises:
            StateError: the disk is full, or the data cannot be written.
        """
        batch = self._batch(changes, checkpoint)
        if complete:
            self._note_time(batch)
        try:
            self._db.write(batch)
        except Exception as error:
            raise self._failure("written", error) from error

    def _batch(self, changes: Changes, checkpoint: Mapping[str, int]) -> WriteBatch:
        # A function of its own: an error of `apply` may be kept, and its frame with it. A handle
        # among the frame's locals would hold the database open.
        batch = WriteBatch(raw_mode=True)
        for table, rows in changes.items():
            handle = self._handles[table]
            put, delete = batch.put, batch.delete
            for key, value in rows:
                if value is None:
                    delete(key, handle)
                else:
                    put(key, value, handle)
        for table, offset in checkpoint.items():
            batch.put(_CHECKPOINT + table.encode(), str(offset).encode())
        return batch

    def checkpoint(self, table: str) -> int | None:
        """The changelog offset up to which `table` is complete; None for a store that holds nothing.

        Raises:
            StoreError: the data cannot be read; a `CorruptStore` when it is damaged.
        """
        raw = self._note(_CHECKPOINT, table)
        return None if raw is None else int(raw)

    def topic(self, table: str) -> str | None:
        """The id of the changelog topic that the checkpoint of `table` belongs to; None if that is unknown.

        Raises:
            StoreError: the data cannot be read; a `CorruptStore` when it is damaged.
        """
        raw = self._note(_TOPIC, table)
        return None if raw is None else raw.decode()

    @property
    def shard(self) -> int | None:
        """The shard that the state is of; None if that is unknown.

        A folder's name says it too, but a folder may have been moved: copied back under another number.

        Raises:
            StoreError: the data cannot be read; a `CorruptStore` when it is damaged.
        """
        raw = self._note(_SHARD)
        return None if raw is None else int(raw)

    def age(self, table: str) -> float:
        """Seconds since `table` was last complete, or was empty and began to be restored.

        Raises:
            StoreError: the data cannot be read; a `CorruptStore` when it is damaged.
        """
        raw = self._note(_COMPLETE, table)
        return max(time.time() - float(raw or 0), 0.0)

    def begin(self, topics: Mapping[str, str], shard: int) -> None:
        """Note what the tables are restored from, and when empty ones began.

        Args:
            topics: the ids of their changelog topics.
            shard: the partition of those.

        Raises:
            StateError: the disk is full, or the data cannot be written.
        """
        batch = WriteBatch(raw_mode=True)
        batch.put(_SHARD, str(shard).encode())
        for table, topic in topics.items():
            batch.put(_TOPIC + table.encode(), topic.encode())
            if self.checkpoint(table) is None:
                batch.put(_COMPLETE + table.encode(), str(time.time()).encode())
        try:
            self._db.write(batch)
        except Exception as error:
            raise self._failure("written", error) from error

    def _note_time(self, batch: WriteBatch) -> None:
        now = str(time.time()).encode()
        for table in self._families:
            batch.put(_COMPLETE + table.encode(), now)

    def _note(self, kind: bytes, table: str = "") -> bytes | None:
        try:
            return self._db.get(kind + table.encode())
        except Exception as error:
            raise self._failure("read", error) from error

    @property
    def is_closed(self) -> bool:
        """Whether the folder was let go of."""
        return self._closed

    def close(self) -> None:
        """Flush and let go of the folder. A second call does nothing.

        What cannot be flushed is no loss: the changelog holds it, and the checkpoint tells from where.
        """
        if not self._closed:
            self._closed = True
            self._families, self._handles = {}, {}
            try:
                self._db.close()
            except Exception as error:  # noqa: BLE001 - RocksDB's errors have no class of their own
                log.warning("%s", self._failure("closed", error))
            # Lets go of the folder's lock also when the flush failed.
            del self._db

    def _make_folder(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(
                f"state folder {self.path} cannot be made ({error.strerror}); free space or choose another "
                "folder with HOLDFAST_HOME"
            ) from error

    def _failure(self, what: str, error: Exception) -> StoreError:
        """Tell damage, which a rebuild mends, from what hinders us, for which the folder is kept."""
        text = str(error)
        if "No space left" in text or "NoSpace" in text:
            return StoreError(
                f"state folder {self.path} cannot be {what}: the disk is full. Free space and restart; "
                "nothing is lost, the changelog holds all committed state."
            )
        if text.startswith(_LOCKED):
            return StoreError(
                f"state folder {self.path} is in use by another process; give each worker its own slot"
            )
        if _is_damage(text):
            return CorruptStore(f"state folder {self.path} cannot be {what}: {text}")
        return StoreError(
            f"state folder {self.path} cannot be {what}: {text}. The folder is kept. Check its permissions, "
            "the limit of open files (`ulimit -n`) and the disk, and restart; nothing is lost, the changelog "
            "holds all committed state."
        )


def _is_damage(text: str) -> bool:
    """Tell whether RocksDB found its files damaged or missing.

    It calls some other failures corruption when it meets them while it reads its list of files.
    """
    status, _, cause = text.rpartition("IO error: ")
    if cause.startswith("No such file or directory") and text.startswith(("IO error: ", "Corruption: ")):
        return True
    return text.startswith("Corruption: ") and not status
