"""What the engine needs from outside, as small protocols."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

Changes = Mapping[str, list[tuple[bytes, bytes | None]]]
"""Encoded state changes by table: (key, value), a value of None deletes."""


class Store(Protocol):
    """The durable state of one shard, all its tables together."""

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value stored under `key` of `table`, or None."""

    def items(self, table: str) -> Iterable[tuple[bytes, bytes]]:
        """All keys and values of `table`, in key order."""

    def apply(self, changes: Changes, checkpoint: Mapping[str, int]) -> None:
        """Write committed changes and the changelog positions they bring us to, atomically.

        Args:
            changes: what to write.
            checkpoint: for each table, the changelog offset after its last change.
        """
