"""Committed changes on their way to the local store: the last value of a key is written, not every one.

A hot key changes in every commit, ten times a second. Writing each of these values took an eighth of the
worker's time; kept here for a moment, only the last one costs anything. It is safe because the local store is
a cache: it is written together with the changelog position that it stands for, so that a crash in between
leaves it at an older commit, and a longer tail of the changelog is read again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from typing import Final

from holdfast.engine.ports import Changes
from holdfast.errors import StateError
from holdfast.runtime.store import RocksStore

log = logging.getLogger(__name__)

WRITE_ROWS: Final = 16_384
"""Rows above which they are written at once: this bounds memory, and how long one write keeps the loop."""

WRITE_BYTES: Final = 4 * 1024 * 1024
"""Bytes of values above which rows are written at once."""

WRITE_AFTER_S: Final = 1.0
"""The longest that a change waits: also how far the store of a killed worker is behind at most."""


class WriteBehind:
    """The state of one shard: a store, and in front of it what is committed but not yet in it.

    Args:
        store: the local store; closed with this object.
    """

    def __init__(self, store: RocksStore) -> None:
        self.store = store
        self._rows: dict[str, dict[bytes, bytes | None]] = {}
        self._checkpoint: dict[str, int] = {}
        self._bytes = 0
        self._since: float | None = None

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value under `key`, or None.

        Raises:
            StoreError: the data cannot be read; a `CorruptStore` when it is damaged.
        """
        rows = self._rows.get(table)
        if rows and key in rows:
            return rows[key]
        return self.store.get(table, key)

    def items(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """All keys and values of `table` in key order.

        Raises:
            StateError: the disk is full, or the data cannot be written or read.
        """
        self.write()
        return self.store.items(table)

    def apply(self, changes: Changes, checkpoint: Mapping[str, int]) -> None:
        """Take committed changes, with the changelog positions they bring the tables to."""
        for table, rows in changes.items():
            self._rows.setdefault(table, {}).update(rows)
            self._bytes += sum(len(value) for _, value in rows if value is not None)
        self._checkpoint.update(checkpoint)
        if self._since is None:
            self._since = time.monotonic()

    @property
    def due_since(self) -> float | None:
        """Since when, on the monotonic clock, what is here waits, if it should be written now; else None."""
        is_due = self._since is not None and (
            time.monotonic() - self._since >= WRITE_AFTER_S
            or self._bytes >= WRITE_BYTES
            or sum(map(len, self._rows.values())) >= WRITE_ROWS
        )
        return self._since if is_due else None

    def write(self) -> None:
        """Write what is here.

        Raises:
            StateError: the disk is full, or the data cannot be written. It stays here.
        """
        if self._since is None:
            return
        changes = {table: list(rows.items()) for table, rows in self._rows.items() if rows}
        self.store.apply(changes, self._checkpoint)
        self._forget()

    def close(self) -> None:
        """Write what is here, if the disk takes it, and let go of the store.

        What cannot be written is no loss: the changelog holds it.
        """
        try:
            self.write()
        except StateError as error:
            log.warning("%s", error)
        self._forget()
        self.store.close()

    def _forget(self) -> None:
        self._rows, self._checkpoint, self._bytes, self._since = {}, {}, 0, None
