"""A shard's committed state in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from holdfast.engine.ports import Changes


class MemoryStore:
    """Holds a shard's tables as dictionaries of bytes; a `holdfast.engine.ports.Store`."""

    def __init__(self) -> None:
        self._tables: defaultdict[str, dict[bytes, bytes]] = defaultdict(dict)
        self._checkpoint: dict[str, int] = {}

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value stored under `key` of `table`, or None."""
        return self._tables[table].get(key)

    def items(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """All keys and values of `table`, in key order."""
        return iter(sorted(self._tables[table].items()))

    def apply(self, changes: Changes, checkpoint: Mapping[str, int]) -> None:
        """Write committed changes and the changelog positions they bring us to."""
        for table, rows in changes.items():
            kept = self._tables[table]
            for key, value in rows:
                if value is None:
                    kept.pop(key, None)
                else:
                    kept[key] = value
        self._checkpoint.update(checkpoint)

    def checkpoint(self, table: str) -> int | None:
        """The changelog offset up to which `table` is complete; None if it holds nothing."""
        return self._checkpoint.get(table)
