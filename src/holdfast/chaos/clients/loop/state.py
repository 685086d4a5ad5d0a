"""States by shard and key, with the changes that are not committed yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class States:
    """States of all keys of the shards that a loop has."""

    def __init__(self) -> None:
        self._kept: dict[int, dict[bytes, Any]] = {}
        self._changed: dict[tuple[int, bytes], Any] = {}

    @property
    def shards(self) -> frozenset[int]:
        """Those whose states are here."""
        return frozenset(self._kept)

    def put(self, shard: int, states: Mapping[bytes, Any]) -> None:
        """Take the states of a shard as they were restored."""
        self._kept[shard] = dict(states)

    def forget(self) -> None:
        """Let go of all shards."""
        self._kept.clear()
        self._changed.clear()

    def get(self, shard: int, key: bytes) -> Any:
        """A key's state, with what was changed last; None if it has none."""
        place = shard, key
        return self._changed[place] if place in self._changed else self._kept[shard].get(key)

    def set(self, shard: int, key: bytes, state: Any) -> None:
        """Change a key's state."""
        self._changed[shard, key] = state

    def changes(self) -> Iterator[tuple[int, bytes, Any]]:
        """Shard, key and state of all that was changed."""
        return ((shard, key, state) for (shard, key), state in self._changed.items())

    def keep(self) -> None:
        """The changes are committed."""
        for (shard, key), state in self._changed.items():
            self._kept[shard][key] = state
        self._changed.clear()

    def discard(self) -> None:
        """The changes have not happened."""
        self._changed.clear()
