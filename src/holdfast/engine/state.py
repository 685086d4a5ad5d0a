"""Keyed state: the table of a shard, and the handle that a handler gets.

A table is read through four layers, newest first: the value pending in the
handler's hands, the overlay of the open unit, the overlay of the unit whose
commit is in flight, and the store. A two-generation cache in front holds decoded
values, so that a hot key costs one dict lookup and no decoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Generic, TypeVar

from holdfast.engine.ports import Store
from holdfast.errors import MissingKey, StateError
from holdfast.schema import ValueCodec

T = TypeVar("T")

CACHED_VALUE_BYTES: Final = 1024
"""Bytes of an encoded value that the cache takes for one entry; a larger one counts as several."""

UNREAD: Final = object()
"""Marks a value that was not looked up yet; None means that there is none."""


class ShardTable(Generic[T]):
    """One table of one shard.

    Args:
        name: the table's name.
        codec: turns values into bytes and back.
        store: committed state.
        cache_entries: decoded values kept in memory; at most this many per generation
            of the cache, so at most twice as many in all. Large values count as several.

    Attributes:
        young: the young generation of the cache; replaced only between runs of the hot loop.
        overlay: changes of the open unit; None deletes. Replaced only when the unit ends.
        value_bytes: what an encoded value is taken to have; 0 as long as none was seen.
        failure: why the last value could not be loaded. Kept, because a handler may catch the error and
            go on with less than the truth; forgotten by `reset`.
    """

    __slots__ = (
        "_codec",
        "_in_flight",
        "_old",
        "_store",
        "_weight",
        "cache_entries",
        "failure",
        "name",
        "overlay",
        "value_bytes",
        "young",
    )

    def __init__(self, name: str, codec: ValueCodec[T], store: Store, cache_entries: int) -> None:
        self.name = name
        self.young: dict[bytes, T | None] = {}
        self._old: dict[bytes, T | None] = {}
        self.overlay: dict[bytes, T | None] = {}
        self._in_flight: dict[bytes, T | None] = {}
        self._codec = codec
        self._store = store
        self.value_bytes = 0
        self._weight = 0
        self.failure: StateError | None = None
        self.cache_entries = cache_entries

    def load(self, key: bytes) -> T | None:
        """The value of `key` when it is not in the cache's young generation."""
        for layer in (self._old, self.overlay, self._in_flight):
            value = layer.get(key, UNREAD)
            if value is not UNREAD:
                break
        else:
            try:
                raw = self._store.get(self.name, key)
                value = None if raw is None else self._codec.decode(raw)
            except StateError as error:
                self.failure = error
                raise
            if raw is not None and len(raw) > self.value_bytes:
                self.value_bytes = len(raw)
        self.young[key] = value  # type: ignore[assignment]
        return value  # type: ignore[return-value]

    def seal(self) -> list[tuple[bytes, bytes | None]]:
        """Close the open overlay and return its changes encoded: only the last value of each dirty key.

        The overlay stays readable until `committed` or `reset`.

        Raises:
            StateError: a value cannot be encoded; the message names its key.
        """
        overlay, self.overlay = self.overlay, {}
        self._in_flight = overlay
        self._weight = 0
        self._age()
        encode = self._codec.encode
        try:
            return [(key, None if value is None else encode(value)) for key, value in overlay.items()]
        except Exception as error:
            raise self._unencodable(overlay, error) from error

    def _unencodable(self, overlay: dict[bytes, T | None], error: Exception) -> StateError:
        """Find the key whose value cannot be encoded. A search, so that sealing need not keep it in hand."""
        for key, value in overlay.items():
            try:
                _ = None if value is None else self._codec.encode(value)
            except Exception as again:  # noqa: BLE001 - a model's own serializer may raise anything
                return StateError(f"key {key[:100]!r}: {again}")
        return StateError(str(error))

    def weigh(self) -> int:
        """Estimate by how many bytes, encoded, the open overlay has grown since the last call.

        The number of changed keys by the size of a value as it was last seen. Also lets the cache age.
        """
        before, self._weight = self._weight, len(self.overlay) * self.value_bytes
        self._age()
        return self._weight - before

    def sample(self, latest: Any) -> None:
        """Look at the size of one value of the open unit.

        Args:
            latest: the last one in a handler's hands, which may be `UNREAD` or None; then the one of the key
                that was the last to come into the overlay is taken.
        """
        if latest is None or latest is UNREAD:
            latest = next(reversed(self.overlay.values()), None)
        if latest is None:
            return
        try:
            size = len(self._codec.encode(latest))
        except Exception:  # noqa: BLE001 - told when the unit is sealed
            return
        # Up at once, down slowly: a commit too many is better than too much memory.
        self.value_bytes = max(size, (3 * self.value_bytes + size) // 4)

    def sealed(self, size: int, rows: int) -> None:
        """Note how large the sealed values were, all together."""
        if rows:
            self.value_bytes = size // rows

    def _age(self) -> None:
        """Drop the cache's old generation when the young one is full; what is not stored is in an overlay."""
        entry = max(self.value_bytes, CACHED_VALUE_BYTES)
        if len(self.young) * entry > self.cache_entries * CACHED_VALUE_BYTES:
            self._old, self.young = self.young, {}

    def committed(self) -> None:
        """The sealed overlay is in the store now."""
        self._in_flight = {}

    def reset(self) -> None:
        """Forget everything that is not in the store: the transaction was aborted."""
        self.overlay, self._in_flight, self.young, self._old = {}, {}, {}, {}
        self._weight = 0
        self.failure = None

    def items(self) -> Iterator[tuple[bytes, T]]:
        """Committed keys and values, in key order."""
        decode = self._codec.decode
        return ((key, decode(raw)) for key, raw in self._store.items(self.name))


class State(Generic[T]):
    """A handler's handle on one table, bound to the key of the record in its hands.

    Changes take effect when the handler returns; if it raises, they never happened.
    The shard's step writes the slots directly for each record: a method call there
    was measured to matter.
    """

    __slots__ = ("_changed", "_key", "_table", "_value")

    def __init__(self, table: ShardTable[T]) -> None:
        self._table = table
        self._key: bytes | None = None
        self._value: Any = UNREAD
        self._changed = False

    def get(self) -> T | None:
        """The value stored under the record's key, or None.

        Raises:
            MissingKey: the record has no key.
        """
        value = self._value
        if value is UNREAD:
            value = self._table.young.get(self._key, UNREAD)  # type: ignore[arg-type]
            if value is UNREAD:
                value = self._load()
            self._value = value
        return value  # type: ignore[no-any-return]

    def set(self, value: T) -> None:
        """Store `value` under the record's key.

        Raises:
            MissingKey: the record has no key.
        """
        if self._key is None:
            raise self._missing_key()
        self._value = value
        self._changed = True

    def delete(self) -> None:
        """Remove the record's key from the table.

        Raises:
            MissingKey: the record has no key.
        """
        self.set(None)  # type: ignore[arg-type]

    def _load(self) -> T | None:
        if self._key is None:
            raise self._missing_key()
        return self._table.load(self._key)

    def _missing_key(self) -> MissingKey:
        return MissingKey(
            f"the record has no key, so table {self._table.name!r} has no entry for it; "
            "declare `key:` for the topic, or do not use state for keyless records. If it is declared, "
            "somebody wrote the record without it; `on_error: dead-letter` sets such records aside"
        )

    def keep(self) -> None:
        """The handler returned: hand its change to the table. For the engine only."""
        table, key, value = self._table, self._key, self._value
        table.young[key] = table.overlay[key] = value  # type: ignore[index]
        self._changed = False
