"""The tables of a shard, as one: they are weighed, sealed, committed and aborted together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from holdfast.engine.parking import ParkedKey
from holdfast.engine.ports import Store
from holdfast.engine.state import CACHED_VALUE_BYTES, ShardTable, State
from holdfast.engine.unit import Unit
from holdfast.errors import StateError, StoreError
from holdfast.schema import ValueCodec
from holdfast.topology.model import PARKED_KEYS

CACHE_ENTRIES = 50_000
"""Decoded values of a table in memory, per shard and cache generation, until `limit_cache` says otherwise."""

SAMPLE_RECORDS = 256
"""Records of a unit between two looks at the size of a state value."""


class ShardTables:
    """The tables of one shard.

    Args:
        codecs: for each table of the handler's, the codec of its values.
        store: the shard's committed state.
        has_parked_keys: whether the shard parks keys, which takes a table beside the handler's own.

    Attributes:
        states: for each table of the handler's, the handle that the handler gets.
        parked_keys: the table of parked keys, if the shard parks keys.
    """

    def __init__(
        self, codecs: Mapping[str, ValueCodec[Any]], store: Store, *, has_parked_keys: bool = False
    ) -> None:
        self._tables = {name: ShardTable(name, codec, store, CACHE_ENTRIES) for name, codec in codecs.items()}
        self.states = {name: State(table) for name, table in self._tables.items()}
        self._weighed = tuple((table, self.states[name]) for name, table in self._tables.items())
        self.parked_keys: ShardTable[ParkedKey] | None = None
        if has_parked_keys:
            self.parked_keys = ShardTable(PARKED_KEYS, ValueCodec(ParkedKey), store, CACHE_ENTRIES)
            self._tables[PARKED_KEYS] = self.parked_keys

    def __iter__(self) -> Iterator[ShardTable[Any]]:
        return iter(self._tables.values())

    def __getitem__(self, name: str) -> ShardTable[Any]:
        return self._tables[name]

    def limit_cache(self, entries: int) -> None:
        """Keep at most `entries` decoded values in memory per table and cache generation."""
        for table in self:
            table.cache_entries = entries

    def weigh(self, unit: Unit) -> None:
        """Estimate the bytes of state in the unit: by the slice of records, and from few values."""
        is_due = unit.records >= unit.sample_at
        if is_due:
            unit.sample_at = unit.records + SAMPLE_RECORDS
        for table, state in self._weighed:
            if 0 < table.value_bytes <= CACHED_VALUE_BYTES and not is_due:
                # The limit of records bounds these, and it saves most of the time that this takes.
                continue
            if is_due or not table.value_bytes:
                table.sample(state._value)
            unit.state_bytes += table.weigh()

    def take_swallowed(self, told: Exception | None) -> StoreError | None:
        """An error of the state that a handler caught, to go on without; None if there is none.

        What such a handler made of its record is wrong, and must not be committed.

        Args:
            told: what has stopped the shard, if something has: that error was not swallowed.
        """
        for table in self:
            failure = table.failure
            if failure is not None and failure is not told:
                table.failure = None
                return failure if isinstance(failure, StoreError) else _swallowed(failure)
        return None

    def committed(self) -> None:
        """What was sealed is in the store now."""
        for table in self:
            table.committed()

    def reset(self) -> None:
        """Forget everything that is not in the store: the transaction was aborted."""
        for table in self:
            table.reset()


def _swallowed(failure: StateError) -> StoreError:
    return StoreError(
        f"{failure} (the handler caught this error and went on: that would commit a wrong result)"
    )
