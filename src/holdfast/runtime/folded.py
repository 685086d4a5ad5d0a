"""A changelog folded into a store of its own on disk, so that memory does not grow with the table."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from holdfast.record import Message
from holdfast.runtime.store import RocksStore, StoreMemory

_MIB: Final = 1024 * 1024
_ROWS: Final = "rows"
_LATE: Final = "late"
_BATCH: Final = 5_000


class Folded:
    """The last value of each key of some changelog records, without those that were deleted.

    Args:
        folder: an empty folder for it.
        records: the changelog's records, those of a key in their order.
        late_from: the offset from which on a change is late; None if none is. For one partition only.

    Raises:
        StateError: the disk is full, or cannot be written.
        ClusterError: the records cannot be read.
    """

    def __init__(self, folder: Path, records: Iterable[Message], late_from: int | None = None) -> None:
        self._store = RocksStore(folder, [_ROWS, _LATE], StoreMemory(8 * _MIB, 16 * _MIB))
        try:
            self._fill(records, late_from)
        except BaseException:
            self._store.close()
            raise

    def _fill(self, records: Iterable[Message], late_from: int | None) -> None:
        rows: list[tuple[bytes, bytes | None]] = []
        late: list[tuple[bytes, bytes | None]] = []
        for record in records:
            key = record.key() or b""
            rows.append((key, record.value()))
            if late_from is not None and record.offset() >= late_from:
                late.append((key, b""))
            if len(rows) == _BATCH:
                self._store.apply({_ROWS: rows, _LATE: late}, {})
                rows, late = [], []
        self._store.apply({_ROWS: rows, _LATE: late}, {})

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """All keys and values, in key order."""
        return self._store.items(_ROWS)

    def is_late(self, key: bytes) -> bool:
        """Whether a key changed at `late_from` or after it."""
        return self._store.get(_LATE, key) is not None

    def close(self) -> None:
        """Let go of the folder."""
        self._store.close()


@contextlib.contextmanager
def folded(folder: Path, records: Iterable[Message], late_from: int | None = None) -> Iterator[Folded]:
    """A `Folded` for the length of a block."""
    with contextlib.closing(Folded(folder, records, late_from)) as state:
        yield state
